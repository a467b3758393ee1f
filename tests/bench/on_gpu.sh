#!/usr/bin/env bash
# Everything that needs a GPU, in one go: bash tests/bench/on_gpu.sh FOLDER
#
# Each step writes FOLDER/<number>-<name>.txt (what it printed) and its figures beside it, and has a time limit of its
# own, so that one that hangs does not cost the others their time. FOLDER/summary.txt has a line for each step: its exit
# code (124: it ran past its limit) and its seconds. STEPS="tests deeplab" runs some. SECONDS_IN_ALL=540 begins nothing
# after so many seconds, and cuts a step that would take longer; the next call can do the rest. PYTHON=python3 uses that
# Python. TINY=1 tries the commands on small settings, on a CPU too.
set -u
out=${1:?usage: bash tests/bench/on_gpu.sh FOLDER}
python=${PYTHON:-.venv/bin/python}
cd "$(dirname "$0")/../.."
mkdir -p "$out"
out=$(cd "$out" && pwd)
number=0

step() { # name, seconds, command
	local name=$1 limit=$2 start=$SECONDS code
	shift 2
	number=$((number + 1))
	case " ${STEPS:-$name} " in *" $name "*) ;; *) return ;; esac
	local left=$((${SECONDS_IN_ALL:-36000} - SECONDS))
	if [ "$left" -lt 15 ]; then
		echo "$name: not begun, the time is over" | tee -a "$out/summary.txt"
		return
	fi
	[ "$limit" -gt "$left" ] && limit=$left
	echo "== $name: $*"
	timeout --kill-after=10 "$limit" "$@" >"$out/$number-$name.txt" 2>&1
	code=$?
	echo "$name: exit code $code, $((SECONDS - start)) s" | tee -a "$out/summary.txt"
	tail -n 6 "$out/$number-$name.txt"
}

# name, then the options of profile_steps.py
steps_of() {
	local name=$1
	shift
	step "$name" "${LIMIT:-75}" "$python" tests/bench/profile_steps.py --out "$out/$name.json" "$@"
}

if [ -n "${TINY:-}" ]; then
	LIMIT=240
	set -- --network tiny --steps 1
	step tests 240 "$python" -m pytest tests/train/test_gpu.py -m gpu
	for kind in labels adversary teacher; do steps_of "tiny-$kind" "$@" --kind "$kind"; done
	exit
fi

step device 20 "$python" -c "import torch; print(torch.__version__, torch.cuda.get_device_name(), torch.version.cuda)"
step tests 180 "$python" -m pytest tests -m gpu -p no:cacheprovider
steps_of deeplab --network deeplab
steps_of deeplab-adversary --network deeplab --kind adversary
steps_of deeplab-teacher --network deeplab --kind teacher
steps_of mit --network mit
steps_of mit-teacher --network mit --kind teacher
steps_of vit --network vit
steps_of vit-teacher --network vit --kind teacher
LIMIT=150 steps_of deeplab-kernels --network deeplab --compile kernels
LIMIT=150 steps_of deeplab-graphs --network deeplab --compile graphs
step loader 60 "$python" tests/bench --only loader --out "$out/loader.json"
step bench 240 "$python" tests/bench --only training networks --out "$out/bench.json"
step toy 240 "$python" -m udaseg run gta2city --scale toy --run "$out/gta2city-toy"
