#!/bin/sh
# Goal: a broken rule does not go unnoticed.
#
# Method: the ordering core is built once per mutant (consensus/mutant.h), each
# breaking one rule, and run against the explorer, the scenarios, the random
# cluster, the random lives and the simulator, in this order, until one notices.  One line
# per mutant; fails when one survives.  ALL=1 shows everyone who notices, TESTS names some:
# those that the simulator finds by itself are told by TESTS=sim.
#
#   tests/mutation/run.sh [number ...]      from the top of the checkout
set -u
out=build/mutant
mkdir -p "$out"
make -s build/release/libbase.a >/dev/null || exit 2
libs="$(pkg-config --libs jemalloc libxxhash 2>/dev/null) -lcmocka -lm -lpthread"
names=$(sed -n 's/^    \(MUTANT_[A-Z_]*\),.*/\1/p' src/consensus/mutant.h)
count=$(echo "$names" | wc -l)
[ $# -gt 0 ] && numbers="$*" || numbers=$(seq 1 "$count")

# The simulator is a program; the others are one file each.
sources_of() { # test
    [ "$1" = sim ] && echo tests/sim/*.c src/replica/proposer.c src/replica/batch_code.c || echo "tests/unit/consensus/test_$1.c"
}

build() { # mutant, binary, test
    gcc -std=c11 -D_GNU_SOURCE -Isrc -O1 -DRABIA_MUTANT="$1" -o "$2" $(sources_of "$3") "$out/$1"/*.o \
        build/release/libbase.a $libs 2>"$out/$1/errors" || { cat "$out/$1/errors"; exit 2; }
}

survivors=0
for k in $numbers; do
    name=$(echo "$names" | sed -n "${k}p")
    rm -rf "${out:?}/$k" && mkdir -p "$out/$k"
    (cd "$out/$k" && gcc -std=c11 -D_GNU_SOURCE -I../../../src -O1 -DRABIA_MUTANT="$k" -c ../../../src/consensus/*.c) || exit 2
    caught=""
    for test in ${TESTS:-explore scenarios cluster lives sim}; do
        build "$k" "$out/$k/test_$test" "$test"
        arguments=""
        [ "$test" = sim ] && arguments="--seed 1 --seeds ${SIM_SEEDS:-2000}"
        EXPLORE_STATES=${EXPLORE_STATES:-200000} CLUSTER_RUNS=10 LIVES_RUNS=${LIVES_RUNS:-1600} timeout 300 "$out/$k/test_$test" $arguments >"$out/$k/$test.log" 2>&1
        status=$?
        [ $status -eq 124 ] && echo "mutant $k $name: $test took too long" # proves nothing
        [ $status -ne 0 ] && [ $status -ne 124 ] && caught="$caught $test"
        [ -n "$caught" ] && [ "${ALL:-}" = "" ] && break
    done
    if [ -n "$caught" ]; then
        echo "mutant $k $name: caught by$caught"
    else
        echo "mutant $k $name: SURVIVED"
        survivors=$((survivors + 1))
    fi
done
[ "$survivors" -eq 0 ]
