/* The secret of an invitation is in the fragment of its link, so no server's log has it: it goes into the form, and leaves the address bar. */
const secret = new URLSearchParams(location.hash.slice(1)).get('invite');
if (secret) {
  history.replaceState(null, '', location.pathname);
  const form = document.querySelector('#look');
  form.elements.namedItem('link').value = secret;
  // Looking uses nothing up.
  form.requestSubmit();
}
