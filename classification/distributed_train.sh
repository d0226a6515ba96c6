#!/bin/sh
# Train on several processes: ./distributed_train.sh PROCESSES DATA [options of main.py]
#
# Several nodes: set torchrun's own variables on each, e.g.
#   PET_NNODES=2 PET_NODE_RANK=0 PET_MASTER_ADDR=host0 PET_MASTER_PORT=29500 ./distributed_train.sh 8 …
# Without a GPU the processes share the CPU and talk by gloo.
if [ $# -lt 2 ]; then
    echo "usage: ./distributed_train.sh PROCESSES DATA [options of main.py]" >&2
    exit 2
fi
processes=$1
shift
cd "$(dirname "$0")" || exit
if [ -z "$PET_NNODES$PET_RDZV_ENDPOINT$PET_MASTER_ADDR" ]; then
    set -- --standalone --nproc-per-node="$processes" main.py "$@"
else
    set -- --nproc-per-node="$processes" main.py "$@"
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # torchrun would choose the same, and say so at length
exec torchrun "$@"
