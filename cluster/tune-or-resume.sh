#!/usr/bin/env bash
# Carries out a job, or goes on with it where its folder is there already: what a batch system that may
# start the same job twice should call. Arguments are options of `ntm-ray tune` for the beginning; a job
# that goes on has them in its folder.
#
#   NTM_RAY_JOB      a job file, or a corpus
#   NTM_RAY_STORAGE  a folder or a URI that all nodes see
#   NTM_RAY_NAME     the name of the job folder in it
#   NTM_RAY_ADDRESS  of the Ray cluster; `auto`, the default, is the one of this machine
set -euo pipefail

: "${NTM_RAY_JOB:?a job file, or a corpus}"
: "${NTM_RAY_STORAGE:?a folder or a URI that all nodes see}"
: "${NTM_RAY_NAME:?the name of the job folder}"
address=(--address "${NTM_RAY_ADDRESS:-auto}")

# Says where the job folder is. 0: it has a job. 3: it has none. Anything else: the storage was asked in
# vain, for as long as it may take to come back.
find_folder() {
    python - "$NTM_RAY_STORAGE" "$NTM_RAY_NAME" << 'END'
import sys

from ntm_ray.errors import NtmRayError
from ntm_ray.tuning.storage import Place

storage, name = sys.argv[1:]
try:
    folder = Place.at(storage) / name
    print(folder)
    sys.exit(0 if "job.yaml" in folder.names() else 3)
except NtmRayError as error:
    sys.exit(f"tune-or-resume: {error}")
END
}

found=0
folder=$(find_folder) || found=$?
case $found in
    0) exec ntm-ray tune --resume "$folder" "${address[@]}" ;;
    3)
        exec ntm-ray tune "$NTM_RAY_JOB" --storage "$NTM_RAY_STORAGE" --name "$NTM_RAY_NAME" \
            "${address[@]}" "$@"
        ;;
    *) exit 2 ;;
esac
