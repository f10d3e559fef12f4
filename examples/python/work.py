"""Claims work over HTTP and does it (docs/work.md). In the environment: SOULFRA_URL, SOULFRA_TOKEN of the service, SOULFRA_QUEUE."""
import json, os, signal, threading, time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

stopping = threading.Event()  # what is in hand is finished, and nothing more is claimed
signal.signal(signal.SIGTERM, lambda *_: stopping.set())

def post(call, body):
    headers = {"authorization": f"Bearer {os.environ['SOULFRA_TOKEN']}", "content-type": "application/json"}
    request = Request(f"{os.environ['SOULFRA_URL']}/v1/work/{call}", json.dumps(body).encode(), headers)
    while not (call == "claim" and stopping.is_set()):
        try:
            with urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except OSError as err:
            if isinstance(err, HTTPError) and err.code not in (429, 503):
                raise
        time.sleep(1)  # the API is busy, or away for a moment

def keep(claim, done):
    while not done.wait(claim["leaseSeconds"] / 3):
        post("heartbeat", {"token": claim["token"]})  # 409 ends this thread: another has the work, or it was canceled

def work(given):
    return {"words": len(given["text"].split())}

while not stopping.is_set():
    if claim := post("claim", {"queue": os.environ["SOULFRA_QUEUE"], "waitSeconds": 5}):
        threading.Thread(target=keep, args=(claim, done := threading.Event()), daemon=True).start()
        try:
            call, answer = "complete", {"result": work(claim["input"])}
        except Exception as err:
            call, answer = "fail", {"reason": repr(err)[:1000], "retryable": not isinstance(err, (KeyError, TypeError))}
        done.set()
        try:
            post(call, {"token": claim["token"], **answer})
        except HTTPError as err:
            print(f"{claim['workId']} was not taken: {err.read().decode()}", flush=True)  # 409: it came too late
