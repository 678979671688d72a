#!/bin/busybox sh
# Runs the tests that the kernel's command line names, says how they ended, and turns the machine off.
export PATH=/usr/bin:/usr/sbin HOME=/root UMIAK_VM=1
tests=$(sed 's/.*vm\.tests=\([^ ]*\).*/\1/; s/,/ /g' /proc/cmdline)
only=$(sed -n 's/.*vm\.only=\([^ ]*\).*/\1/p' /proc/cmdline)
cd /umiak || exit 1
# shellcheck disable=SC2086 # a list of words is wanted
node --disable-warning=ExperimentalWarning --test --test-reporter=spec --test-concurrency=1 --test-timeout=90000 ${only:+--test-name-pattern=$only} $tests
echo "vm: exit $?"
sync
busybox poweroff -f
