#!/bin/busybox sh
# From memory to the disk: loads what the disk needs, mounts it, goes on there.
PATH=/bin
busybox mount -t devtmpfs dev /dev
busybox mount -t proc proc /proc
# modules
while ! [ -b /dev/vda ] || ! [ -b /dev/vdb ]; do busybox sleep 0.05; done
busybox mount -t ext4 /dev/vda /new
busybox mount -t ext4 -o ro /dev/vdb /new/umiak
init=/usr/sbin/init.sh
if busybox grep -q vm.systemd /proc/cmdline; then init=/usr/lib/systemd/systemd; fi
busybox umount /proc
exec busybox switch_root /new $init
