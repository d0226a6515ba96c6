#!/bin/sh
# Test on several processes: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]
#
# Several nodes: NNODES, NODE_RANK, MASTER_ADDR and PORT on each. Without a GPU the processes share the CPU.
if [ $# -lt 3 ]; then
    echo "usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]" >&2
    exit 2
fi
config=$1
checkpoint=$2
processes=$3
shift 3
set -- --nproc-per-node="$processes" -m lvt_core.openmmlab.tools.test "$config" "$checkpoint" --launcher pytorch "$@"
if [ -z "$NNODES$NODE_RANK$MASTER_ADDR$PORT" ]; then # any free port, so that two jobs can run on one machine
    set -- --standalone "$@"
else
    set -- --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" \
        --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${PORT:-29500}" "$@"
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # torchrun would choose the same with a long warning
exec torchrun "$@"
