#!/bin/sh
# The first script of the initial RAM disk `pv`: loads the modules, waits for the disk that `root=` names (/dev/xvda if
# nothing does) and gives the machine to the programs on it. With `root=none` there is a shell instead.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
root=/dev/xvda
for word in $(cat /proc/cmdline); do
    case $word in root=*) root=${word#root=} ;; esac
done

fail() {
    echo "@linux state=failed what=$1"
    root=none
}

# A list of modules for each kind of device, in the order of loading. A machine with virtio has nothing of Xen's.
devices=xen
[ -e /sys/hypervisor/type ] || devices=virtio
while read -r module; do
    insmod "/modules/$module.ko" || fail "$module"
done <<END
$(cat /modules/ext4 /modules/$devices)
END

# The disk comes when its back end does. Nothing is lost by looking again: an idle machine's clock is virtual.
look=0
until [ $root = none ] || [ -b $root ]; do
    [ $look = 0 ] && echo "@linux state=waiting device=$root"
    look=$((look + 1))
    [ $look -gt 600 ] && fail no-disk-in-a-minute
    usleep 100000
done

[ $root = none ] || mount $root /disk || fail mount
if [ $root = none ]; then
    # The shell's script mounts them itself.
    umount /dev /sys /proc
    exec /shell.sh
fi
for folder in proc sys dev; do
    mount --move /$folder /disk/$folder
done
echo "@linux state=root device=$root"
exec switch_root /disk /sbin/init
