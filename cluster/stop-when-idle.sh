#!/usr/bin/env bash
# Turns a cloud machine off when it has nothing left to do, so that a forgotten cluster stops costing.
#
#   stop-when-idle.sh head MINUTES     no job waits or runs, for that long
#   stop-when-idle.sh worker MINUTES   no Ray runs on this machine, for that long
#
# An answer that does not come counts as idle: a head whose Ray is broken does no work either.
set -euo pipefail

role=${1:?head or worker}
minutes=${2:?minutes}
seconds_between=${NTM_RAY_CHECK_SECONDS:-60}

# One of us a user and role: `ray up` on a running cluster starts the next.
exec 9> "${NTM_RAY_LOCKS:-/tmp}/ntm-ray-stop-when-idle-$role-$UID"
flock --nonblock 9 || exit 0

busy() {
    case $role in
        head)
            RAY_AUTH_MODE=token RAY_ADDRESS=http://127.0.0.1:8265 timeout 60 ray job list 2>&1 |
                grep --quiet --extended-regexp 'JobStatus\.(PENDING|RUNNING)'
            ;;
        worker) pgrep -x raylet > /dev/null ;;
        *)
            echo "stop-when-idle.sh: head or worker, not $role" >&2
            exit 2
            ;;
    esac
}

idle=0
while ((idle < minutes)); do
    sleep "$seconds_between"
    if busy; then idle=0; else idle=$((idle + 1)); fi
done
echo "$(date --iso-8601=seconds): idle for $minutes minutes"
exec sudo shutdown -h now
