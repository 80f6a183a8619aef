#!/bin/sh
# The first script of the peer's domain 0: loads the back ends and the disk's driver, starts xenstore, tells it of domain 1, and
# gives domain 1 the machine's first disk as its own. It does what `xl` would, in the fewest steps.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/virtio /modules/domain0); do
    insmod "/modules/$module.ko"
done
mount -t xenfs xenfs /proc/xen
xenstored --pid-file /run/xenstored.pid
xenstore-write /local/domain/0/domid 0 /local/domain/0/name Domain-0
init-dom0less

# Who may read is said before there is anything to read, and all of the rest comes at once: a back end that finds no front end
# goes away.
back=/local/domain/0/backend/vbd/1/51712
front=/local/domain/1/device/vbd/51712
xenstore-write $back '' $front ''
xenstore-chmod $back n0 r1
xenstore-chmod $front n1 r0
xenstore-write \
    $front/backend $back $front/backend-id 0 $front/virtual-device 51712 $front/device-type disk $front/state 1 \
    $back/frontend $front $back/frontend-id 1 $back/online 1 $back/mode w $back/params /dev/vda $back/type phy \
    $back/dev xvda $back/physical-device "$(printf %x:%x $(tr : ' ' </sys/block/vda/dev))" $back/hotplug-status connected \
    $back/state 1
# It has nothing more to do, and must not end.
while :; do sleep 1000; done
