#!/bin/sh
# Train on several processes: ./distributed_train.sh PROCESSES DATA [options of main.py]
#
# It runs in any folder; relative paths stay relative to that folder.
# Several nodes: set torchrun's own variables on each, e.g.
#   PET_NNODES=2 PET_NODE_RANK=0 PET_MASTER_ADDR=host0 PET_MASTER_PORT=29500 ./distributed_train.sh 8 …
# Without a GPU the processes share the CPU and communicate by gloo.
if [ $# -lt 2 ]; then
    echo "usage: ./distributed_train.sh PROCESSES DATA [options of main.py]" >&2
    exit 2
fi
processes=$1
shift
set -- --nproc-per-node="$processes" -m lvt_classify.train "$@"
if [ -z "$PET_NNODES$PET_RDZV_ENDPOINT$PET_MASTER_ADDR" ]; then
    set -- --standalone "$@"
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # torchrun chooses 1 as well, but prints a long warning
exec torchrun "$@"
