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
folder="${NTM_RAY_STORAGE%/}/$NTM_RAY_NAME"

# 0: the job folder is there. 3: it is not. Anything else: the storage does not answer.
folder_exists() {
    python - "$folder/job.yaml" << 'END'
import sys
from pathlib import Path

from pyarrow.fs import FileSystem, FileType

place = sys.argv[1]
filesystem, path = FileSystem.from_uri(place if "://" in place else str(Path(place).absolute()))
sys.exit(3 if filesystem.get_file_info(path).type is FileType.NotFound else 0)
END
}

found=0
folder_exists || found=$?
case $found in
    0) exec ntm-ray tune --resume "$folder" "${address[@]}" ;;
    3)
        exec ntm-ray tune "$NTM_RAY_JOB" --storage "$NTM_RAY_STORAGE" --name "$NTM_RAY_NAME" \
            "${address[@]}" "$@"
        ;;
    *)
        echo "$NTM_RAY_STORAGE cannot be read: it must be mounted, and this account allowed to" >&2
        exit 2
        ;;
esac
