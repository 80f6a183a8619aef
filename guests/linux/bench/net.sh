#!/bin/sh
# What the guest's network costs, whoever drives its card, which comes when its back end does. The counterpart is `mk.host=`.
for word in $(cat /proc/cmdline); do
    case $word in mk.host=*) host=${word#mk.host=} ;; esac
done
until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
for kind in receive send receive-packets send-packets echo; do
    io $kind address="$host" name=$kind
done
