"""What runs on a cluster: checks that the job fits what is installed there, and carries it out.

`python -m ntm_ray.submission.entry tune job.yaml`, or `resume FOLDER`, or `fetch FOLDER`, in the
working directory that was sent. Until the check has passed it imports the standard library only:
the Python that runs it may be any.
"""

from __future__ import annotations

import os
import signal
import sys

from ntm_ray.submission.requirements import mismatch

if __name__ == "__main__":
    # Ray starts the driver with Ctrl-C blocked; a job that is stopped has to hear it.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if complaint := mismatch(os.getcwd()):  # noqa: PTH109 - as sys.path has it
        print(f"ntm-ray: {complaint}", flush=True)  # noqa: T201 - the log is standard output
        sys.exit(2)

    from ntm_ray.submission.driving import main

    sys.exit(main(sys.argv[1:]))
