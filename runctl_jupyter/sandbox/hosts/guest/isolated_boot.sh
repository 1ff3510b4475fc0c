#!/bin/sh
# Builds the root of an isolated machine and becomes its first process.
# Runs in new mount, pid, uts, ipc and network namespaces; every mount made here ends with them.
#
# usage: isolated_boot.sh IMAGE DISK ROOT SEED LOG CACHE STORE HOSTNAME HIDE... -- BIND... -- PROGRAM...
#   IMAGE   file with the machine's ext4 file system          DISK, ROOT  empty folders to mount on
#   SEED    files to copy over the root                       LOG         file to be cloud-init's log
#   CACHE   package cache shared by all machines              STORE       yes: there is an instance store
#   HIDE    folders of the surrounding machine to be empty    BIND        folders of it to be there, read-only
set -eu
image=$1 disk=$2 root=$3 seed=$4 log=$5 cache=$6 store=$7 name=$8
shift 8

mount -o loop,noatime "$image" "$disk"
cd "$disk"
mkdir -p upper work root-home home var-tmp
chmod 700 root-home
chmod 1777 var-tmp
rm -rf instance-store
rm -f var-tmp/sandbox-filler # a fault's (disk.py): without a free block the overlay would be read-only, and nothing boots
# Relative paths: a comma or colon in the state folder would end an overlay option.
mount -t overlay sandbox -o "lowerdir=/,upperdir=upper,workdir=work" "$root"

mount --bind root-home "$root/root"
mkdir -p "$root/home" "$root/var/tmp" "$root/run" "$root/tmp" "$root/proc" "$root/sys" "$root/dev"
mount --bind home "$root/home"
mount --bind var-tmp "$root/var/tmp"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
while [ "$1" != -- ]; do
    if [ -d "$root$1" ]; then mount -t tmpfs -o mode=755 tmpfs "$root$1"; fi
    shift
done
shift
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    mount -o remount,bind,ro "$root$1"
    shift
done
shift
mkdir -p "$root/var/cache/uv" "$root/var/log"
mount --bind "$cache" "$root/var/cache/uv"
rm -f "$root/var/log/cloud-init-output.log"
: > "$root/var/log/cloud-init-output.log"
mount --bind "$log" "$root/var/log/cloud-init-output.log"
if [ "$store" = yes ]; then
    mkdir -p instance-store "$root/opt/dlami/nvme"
    mount --bind instance-store "$root/opt/dlami/nvme"
fi
mkdir "$root/run/seed"
mount --bind "$seed" "$root/run/seed"

mount -t proc proc "$root/proc"
if [ -e "$root/proc/sysrq-trigger" ]; then # it would act on the surrounding machine
    mount --bind "$root/proc/sysrq-trigger" "$root/proc/sysrq-trigger"
    mount -o remount,bind,ro "$root/proc/sysrq-trigger"
fi
mount -t sysfs -o ro sysfs "$root/sys"
# A small /dev of its own: the surrounding machine's has its disks in it.
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
cd "$root/dev"
mknod -m 666 null c 1 3
mknod -m 666 zero c 1 5
mknod -m 666 full c 1 7
mknod -m 666 random c 1 8
mknod -m 666 urandom c 1 9
mknod -m 666 tty c 5 0
mkdir pts shm mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs shm
ln -s pts/ptmx ptmx
ln -s /proc/self/fd fd
ln -s /proc/self/fd/0 stdin
ln -s /proc/self/fd/1 stdout
ln -s /proc/self/fd/2 stderr

cd "$root"
mkdir -p run/outside
pivot_root . run/outside
cd /
umount -l /run/outside
rmdir /run/outside

# Copied only now: here a link in the image can lead nowhere but into the image.
cp -R --remove-destination /run/seed/. /
umount /run/seed
rmdir /run/seed
for command in shutdown poweroff halt reboot; do
    ln -sf "/usr/local/sbin/$command" "/sbin/$command"
done
mkdir -p /var/lib/runctl
hostname "$name"
exec "$@"
