/** The lease: renewed every 5 s for 15 s, so that two renewals may be missed before a machine counts as lost. */
export const leaseSeconds = 15;
export const renewEverySeconds = 5;
/** After one missed renewal a machine is `suspect`: shown, nothing moved. */
export const suspectAfterSeconds = 8;
/** How often checkFleetHealth looks. */
export const healthEverySeconds = 5;

/** A worker whose machine is no longer in fleet.yaml ends with this: whoever starts workers must not start it again. */
export const removedExitCode = 66;
