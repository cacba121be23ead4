#!/usr/bin/env bash
# Layers or rows over two workers: every measurement of docs/layouts.md and of the pipelines in docs/rivals.md.
#
#     runners/layouts.sh FOLDER
#     python tools/docs/layouts.py FOLDER      # the tables and the picture
#
# Half an hour on two cores that do nothing else; files that FOLDER has already are kept.
set -euo pipefail
folder=${1:?give a folder for the measurements}
mkdir -p "$folder"
export OMP_NUM_THREADS=1

measured() { # NAME VERB OPTIONS …
  local name=$1
  shift
  [ -e "$folder/$name.json" ] || pdadmm-bench "$@" --threads 1 --json "$folder/$name.json"
}

wide=(--rows 4000 --features 1024 --hidden 1024 --layers 16)
measured adam-rows scale "${wide[@]}" --optimizer adam --schedule 1f1b --workers 1,2 --mesh layers --mesh rows --iterations 2 --repeats 9
measured predict-adam-rows predict "${wide[@]}" --optimizer adam --schedule 1f1b --workers 1,2 --mesh layers --mesh rows

many=(--rows 20000 --features 512 --hidden 512 --layers 16)
measured pdadmm-rows scale "${many[@]}" --optimizer pdadmm --workers 1,2 --mesh layers --mesh rows --iterations 1 --repeats 9
measured predict-pdadmm-rows predict "${many[@]}" --optimizer pdadmm --workers 1,2 --mesh layers --mesh rows

for rows in 500 1000 2000 4000 8000; do
  shape=(--rows "$rows" --features 512 --hidden 512 --layers 16 --optimizer pdadmm --optimizer adam --schedule 1f1b)
  times=(--iterations 2 --repeats 9)
  [ "$rows" -ge 8000 ] && times=(--iterations 1 --repeats 5)
  measured "cross-$rows" scale "${shape[@]}" --workers 1,2 --mesh layers --mesh rows "${times[@]}"
  measured "predict-cross-$rows" predict "${shape[@]}" --workers 1,2,4,8,16 --mesh layers --mesh rows
done

for rows in 60 300; do
  measured "few-$rows" scale --rows "$rows" --features 2048 --hidden 2048 --layers 16 --optimizer pdadmm --optimizer adam \
    --optimizer sgd --schedule 1f1b --microbatches 2 --workers 1,2 --mesh layers --mesh rows --iterations 3 --repeats 9
done

for count in 4 8 16 32; do
  measured "pipelines-$count" scale "${wide[@]}" --optimizer adam --schedule gpipe,1f1b,zero-bubble --microbatches "$count" \
    --workers 2 --iterations 2 --repeats 7
done
