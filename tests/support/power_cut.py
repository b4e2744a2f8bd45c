#!/usr/bin/env python3
"""Cuts the power under a store, again and again, and checks what is left.

An ext4 image is mounted on a loop device; the store's test binary writes on it and says on its
standard output what was acknowledged; then the ext4 shutdown ioctl drops everything that has not
reached the device, as a loss of power would (with a drive that keeps its cache). The image is
mounted again, and the test binary checks that all it had acknowledged is there.

Needs root, losetup and mkfs.ext4. Exit code 77: this machine cannot mount a loop device.
"""

import argparse
import fcntl
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

# linux/fs/ext4/ext4.h: EXT4_IOC_SHUTDOWN = _IOR('X', 125, __u32); 2 = neither log nor data.
EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2
CANNOT_MOUNT = 77

# What can be under way when the power goes: the test that writes, and the one that checks.
PLAYS = {
    "scrapes": (
        "crash::child_writes_until_it_dies",
        "crash::nothing_that_was_synced_may_be_missing_after_power_loss",
    ),
    "pushes": (
        "power::child_pushes_together_until_it_dies",
        "power::no_acknowledged_push_may_be_missing_after_power_loss",
    ),
    "jobs": (
        "crash::child_enqueues_and_works_until_it_dies",
        "crash::no_acknowledged_job_may_be_missing_after_power_loss",
    ),
}
SAID = re.compile(r"(wrote|synced|record|(?:pushed|added|done)\.\d+) (\d+)\s*$")


def quiet(*command):
    """Runs a command and says whether it went well."""
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, folder):
        self.image = os.path.join(folder, "disk.img")
        self.root = os.path.join(folder, "disk")
        os.mkdir(self.root)
        with open(self.image, "wb") as image:
            image.truncate(256 << 20)

    def make(self):
        return quiet("mkfs.ext4", "-q", "-F", self.image)

    def mount(self):
        return quiet("mount", "-o", "loop", self.image, self.root)

    def unmount(self):
        # A process that is just being killed may hold the mount for a moment.
        for _ in range(100):
            if quiet("umount", self.root):
                return True
            time.sleep(0.05)
        return not os.path.ismount(self.root)

    def cut(self):
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(handle)


def note(said, lines):
    """Notes what whole lines of the writer's output promise."""
    for line in lines:
        found = SAID.search(line.decode(errors="replace"))
        if found:
            said[found.group(1)] = int(found.group(2))


def write_until_cut(binary, writer, disk, lines):
    """Runs the writer, cuts the power after so many lines, and returns what it had said by then."""
    environment = dict(os.environ, PLIMSOLL_TEST_CHILD=os.path.join(disk.root, "store"))
    child = subprocess.Popen(
        [binary, "--exact", writer, "--nocapture"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    said = {}
    pipe, rest, heard = child.stdout.fileno(), b"", 0
    try:
        while heard <= lines:
            text = os.read(pipe, 1 << 16)
            if not text:
                break
            *whole, rest = (rest + text).split(b"\n")
            note(said, whole)
            heard += len(whole)
        # What is in the pipe by now was said with the power on, and counts, too. What is said from
        # here on does not: the ioctl takes its time, and a sync that is under way meanwhile may be
        # told that it succeeded. With real power the machine would be dark before it could say so.
        os.set_blocking(pipe, False)
        try:
            note(said, (rest + os.read(pipe, 1 << 20)).split(b"\n")[:-1])
        except BlockingIOError:
            pass
        disk.cut()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    return said


def check(binary, checker, disk, said):
    """Runs the checker on the file system after the cut."""
    environment = dict(
        os.environ,
        PLIMSOLL_TEST_CHECK=os.path.join(disk.root, "store"),
        PLIMSOLL_TEST_SAID=" ".join(f"{word}={number}" for word, number in said.items()),
    )
    return subprocess.run(
        [binary, "--exact", checker, "--nocapture"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("binary", help="the built test binary, `store` or `queue`")
    arguments.add_argument("--play", choices=PLAYS, default="scrapes")
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument(
        "--store",
        choices=["fresh", "growing", "steady", "bulk"],
        default="growing",
        help="fresh: a new disk each round; steady: what is done is removed, so that no file grows; "
        "bulk: 500 jobs at once",
    )
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    chance = random.Random(options.seed)
    writer, checker = PLAYS[options.play]
    folder = tempfile.mkdtemp(prefix="power-cut-")
    disk = Disk(folder)
    try:
        if not (disk.make() and disk.mount()):
            print("this machine cannot mount a loop device (root, losetup and mkfs.ext4 are needed)")
            return CANNOT_MOUNT
        for number in range(options.rounds):
            if options.store == "bulk":
                os.environ["PLIMSOLL_TEST_BULK"] = "500"
            if options.store == "steady":
                os.environ["PLIMSOLL_TEST_STEADY"] = str(number)
            # Bulks would fill the disk.
            is_new = options.store == "fresh" or options.store == "bulk" and number % 2 == 0
            if is_new and not (disk.unmount() and disk.make() and disk.mount()):
                print(f"round {number}: no new disk can be made")
                return 1
            said = write_until_cut(options.binary, writer, disk, chance.randrange(1, 900))
            if not (disk.unmount() and disk.mount()):
                print(f"round {number}: the file system does not mount again")
                return 1
            result = check(options.binary, checker, disk, said)
            print(f"round {number}: {said} -> exit {result.returncode}")
            if result.returncode != 0 or "kept " not in result.stdout:
                print(result.stdout)
                return 1
        return 0
    finally:
        if os.path.ismount(disk.root):
            disk.unmount()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
