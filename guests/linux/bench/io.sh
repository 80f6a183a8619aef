#!/bin/sh
# What requests to the guest's disk cost, whoever drives it. The disk comes when its back end does.
until [ -b /dev/xvda ] || [ -b /dev/vda ]; do usleep 100000; done
disk=/dev/xvda
[ -b $disk ] || disk=/dev/vda
for operation in read write; do
    for depth in 1 16; do
        # Once so many that the 16 bits of virtio's indices wrap while several are under way.
        requests=5000
        [ $operation-$depth = read-16 ] && requests=70000
        io disk device=$disk operation=$operation depth=$depth requests=$requests name=$operation-4k-$depth
    done
    io disk device=$disk operation=$operation pattern=sequential block=131072 requests=1000 name=$operation-128k
done
