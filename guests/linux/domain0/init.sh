#!/bin/sh
# The first script of the peer's domain 0: loads the back ends and the devices' drivers, starts xenstore, tells it of domain 1,
# and gives domain 1 the machine's first disk as its own and a card of the machine's network, each where the machine has one.
# It does what `xl` and its scripts would, in the fewest steps.
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

# Makes room for a device of domain 1, of its kind and with its number. Who may read is said before there is anything to read,
# and all of the rest comes at once: a back end that finds no front end goes away.
device() {
    back=/local/domain/0/backend/$1/1/$2
    front=/local/domain/1/device/$1/$2
    xenstore-write $back '' $front ''
    xenstore-chmod $back n0 r1
    xenstore-chmod $front n1 r0
}

if [ -b /dev/vda ]; then
    device vbd 51712
    xenstore-write \
        $front/backend $back $front/backend-id 0 $front/virtual-device 51712 $front/device-type disk $front/state 1 \
        $back/frontend $front $back/frontend-id 1 $back/online 1 $back/mode w $back/params /dev/vda $back/type phy \
        $back/dev xvda $back/physical-device "$(printf %x:%x $(tr : ' ' </sys/block/vda/dev))" \
        $back/hotplug-status connected $back/state 1
fi

if [ -e /sys/class/net/eth0 ]; then
    ip link add xenbr0 type bridge
    # A port forwards at once.
    echo 0 >/sys/class/net/xenbr0/bridge/forward_delay
    ip link set eth0 master xenbr0
    ip link set eth0 up
    ip link set xenbr0 up
    device vif 0
    mac=00:16:3e:00:00:02
    xenstore-write \
        $front/backend $back $front/backend-id 0 $front/handle 0 $front/mac $mac $front/state 1 \
        $back/frontend $front $back/frontend-id 1 $back/online 1 $back/handle 0 $back/mac $mac $back/type vif \
        $back/bridge xenbr0 $back/script vif-bridge $back/state 1
    # The back end makes its end of the cable, and connects to the front end once that lies in the bridge.
    until [ -e /sys/class/net/vif1.0 ]; do usleep 100000; done
    ip link set vif1.0 address fe:ff:ff:ff:ff:ff
    ip link set vif1.0 master xenbr0
    ip link set vif1.0 up
    xenstore-write $back/hotplug-status connected
fi
# It has nothing more to do, and must not end.
while :; do sleep 1000; done
