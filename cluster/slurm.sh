#!/usr/bin/env bash
# Carries out a job on the nodes of one Slurm allocation: Ray's head and workers for its time alone,
# with a token of their own, and nothing left behind.
#
#   sbatch cluster/slurm.sh job.yaml /shared/ntm-ray [NAME] [options of ntm-ray tune]
#   squeue --me                  (and: tail -f ntm-ray-JOBID.log)
#   scancel JOBID
#
# All nodes need this repository's environment (VENV below) and STORAGE, a folder that all of them
# mount, or a bucket. When the time is over or the nodes are taken away, Slurm queues the job again and
# it goes on where it was.
#SBATCH --job-name=ntm-ray
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=08:00:00
#SBATCH --output=ntm-ray-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --no-kill
#SBATCH --signal=B:TERM@120
# For GPUs, one of:
##SBATCH --gpus-per-node=1
##SBATCH --gres=gpu:1
set -euo pipefail

if [[ -z ${SLURM_JOB_ID:-} ]]; then
    echo "This runs in a Slurm allocation: sbatch cluster/slurm.sh job.yaml /shared/ntm-ray" >&2
    exit 2
fi
NTM_RAY_JOB=${1:?a job file, or a corpus}
NTM_RAY_STORAGE=${2:?a folder or a URI that all nodes see}
NTM_RAY_NAME=${3:-job-$SLURM_JOB_ID}
shift "$(($# < 3 ? $# : 3))"
export NTM_RAY_JOB NTM_RAY_STORAGE NTM_RAY_NAME

# sbatch copies this file elsewhere, so the repository is found from where sbatch was called.
repository=${NTM_RAY_REPOSITORY:-$SLURM_SUBMIT_DIR}
export PATH="${VENV:-$repository/.venv}/bin:$PATH"

# Ray's folder on each node, for this user alone; a number follows, and 0 is the head's. Short, because
# the names of Ray's sockets must fit into 107 bytes.
export NTM_RAY_TEMP="/tmp/ntm-ray-$SLURM_JOB_ID"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$NTM_RAY_TEMP.0/token"
export RAY_USAGE_STATS_ENABLED=0
unset RAY_ADDRESS RAY_AUTH_TOKEN

head_name=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
head_ip=$(getent ahostsv4 "$head_name" | awk 'NR == 1 { print $1 }')
free_ports() {
    python - "$1" << 'END'
import socket
import sys

taken = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in taken:
    each.bind(("", 0))
print(*(each.getsockname()[1] for each in taken))
END
}
export -f free_ports
# The head is on the first node, which is the one that runs this script.
NTM_RAY_HEAD="$head_ip:$(free_ports 1)"
export NTM_RAY_HEAD

# One task a node runs this. It ends when it is told to, and takes Ray and the folder with it.
# shellcheck disable=SC2329 # srun's tasks call it
one_node() {
    set -euo pipefail
    umask 077
    local pid='' address port_of_agent port_of_client folder="$NTM_RAY_TEMP.$SLURM_PROCID"
    # There after a node was lost and came back. `mkdir` refuses what is another user's.
    rm -rf "$folder"
    mkdir "$folder"
    export RAY_AUTH_TOKEN_PATH="$folder/token"
    cat > "$RAY_AUTH_TOKEN_PATH"
    end() {
        trap '' TERM INT
        if [[ -n $pid ]]; then
            kill -TERM "$pid" 2> /dev/null || true
            # A node that waits for a head that is gone would take half a minute.
            for _ in {1..50}; do
                kill -0 "$pid" 2> /dev/null || break
                sleep 0.1
            done
            pkill -KILL -u "$UID" -f -- "$folder( |/|\$)" || true
        fi
        rm -rf "$folder"
    }
    trap 'exit 0' TERM INT
    trap end EXIT

    address=$(getent ahostsv4 "$SLURMD_NODENAME" | awk 'NR == 1 { print $1 }')
    read -r port_of_agent port_of_client < <(free_ports 2)
    # Other people's Ray may run on these nodes: no port of Ray's usual ones, none by chance.
    local options=(
        --node-ip-address="$address" --temp-dir="$folder" --block
        --num-gpus="${SLURM_GPUS_ON_NODE:-0}"
        --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port="$port_of_agent"
    )
    # Ray sees the node's memory, not this job's share of it.
    if [[ -n ${SLURM_MEM_PER_NODE:-} ]]; then
        options+=(
            --memory="$((SLURM_MEM_PER_NODE * 1024 * 1024 * 6 / 10))"
            --object-store-memory="$((SLURM_MEM_PER_NODE * 1024 * 1024 * 2 / 10))"
        )
    fi
    local cpus=${SLURM_CPUS_PER_TASK:-1}
    if ((SLURM_PROCID == 0)); then
        # One core is for the driver, which is on this node as well.
        options+=(
            --head --port="${NTM_RAY_HEAD##*:}" --include-dashboard=false --disable-usage-stats
            --ray-client-server-port="$port_of_client" --num-cpus="$((cpus > 1 ? cpus - 1 : 1))"
        )
    else
        options+=(--address="$NTM_RAY_HEAD" --num-cpus="$cpus")
        until RAY_AUTH_MODE=token ray health-check --address "$NTM_RAY_HEAD" > /dev/null 2>&1; do
            sleep 1
        done
    fi
    RAY_AUTH_MODE=token ray start "${options[@]}" < /dev/null > "$folder/start.log" 2>&1 &
    pid=$!
    # Only a Ray that fails gets here: the others are told to end.
    wait "$pid" || true
    echo "Ray has ended on $SLURMD_NODENAME:" >&2
    tail -n 20 "$folder/start.log" >&2
    exit 1
}
export -f one_node

nodes='' driver='' stopping=''
clean_up() {
    trap '' TERM INT
    if [[ -n $driver ]]; then
        kill -TERM "$driver" 2> /dev/null || true
        wait "$driver" || true
    fi
    if [[ -n $nodes ]]; then
        # To the tasks, which clean up; srun itself would have them killed.
        scancel --signal=TERM "$SLURM_JOB_ID.0" 2> /dev/null || true
        wait "$nodes" || true
    fi
}
trap clean_up EXIT
trap 'stopping=yes' TERM INT

# The token goes to the nodes through srun's standard input: not on a command line, not in the
# environment, and on no disk but the nodes' own.
srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --no-kill --kill-on-bad-exit=0 --wait=0 \
    bash -c one_node < <(python -c 'import secrets; print(secrets.token_hex(32))') &
nodes=$!

until ray health-check --address "$NTM_RAY_HEAD" > /dev/null 2>&1; do
    if [[ -n $stopping ]] || ! kill -0 "$nodes" 2> /dev/null; then
        echo "Ray's head did not start on $head_name" >&2
        exit 1
    fi
    sleep 1
done

NTM_RAY_ADDRESS="$NTM_RAY_HEAD" bash "$repository/cluster/tune-or-resume.sh" "$@" &
driver=$!
code=0
wait "$driver" || code=$?
if [[ -n $stopping ]]; then
    # The two minutes before the time is over, or the nodes taken away: the driver saves what it has.
    clean_up
    driver='' nodes=''
    # Where Slurm is about to end the job for another reason, it is no longer running by now.
    if [[ $(squeue --noheader --job "$SLURM_JOB_ID" --format %T) == RUNNING ]]; then
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit 0
fi
driver=''
exit "$code"
