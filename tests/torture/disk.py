"""The other side of disk.c: what a replica's disk is told to do, and what is
left of its files after a power cut.

A power cut keeps what was flushed.  Of the rest it keeps nothing, everything,
the writes up to some moment (the last one torn), or any set of 512-byte sectors;
names made, moved and removed since a directory's last flush stay up to some
moment.  Which, the random generator given says.
"""
import errno
import mmap
import os
import random
import shutil
import struct
import uuid

CALLS = ["open", "read", "write", "flush", "flush_dir", "reserve", "resize", "rename", "unlink", "mkdir"]
PLACES = {"any": 0, "journal": 1, "snapshot": 2, "state": 3, "other": 4}
CRASH = 0xffff
SECTOR, HEAD, CONTROL_BYTES = 512, 4096, 4096
NAME = struct.Struct("<QQQ484s484s16x")
CREATE, RENAME, UNLINK, MKDIR, FLUSH = range(1, 6)


class Disk:
    def __init__(self, data, folder):
        """data: the replica's directory; folder: ours, on the same file system."""
        self.data, self.folder = os.path.realpath(data), os.path.realpath(folder)
        os.makedirs(self.data, exist_ok=True)
        os.makedirs(self.folder, exist_ok=True)
        path = os.path.join(self.folder, "control")
        with open(path, "wb") as file:
            file.write(bytes(CONTROL_BYTES))
        with open(path, "r+b") as file:
            self.control = mmap.mmap(file.fileno(), CONTROL_BYTES)
        self.new_boot()

    def environment(self, library):
        return {"LD_PRELOAD": library, "TORTURE_DATA": self.data, "TORTURE_DISK": self.folder}

    # --- orders; see struct control in disk.c ---------------------------------

    def put(self, offset, form, value):
        struct.pack_into(form, self.control, offset, value)

    def get(self, offset, form):
        return struct.unpack_from(form, self.control, offset)[0]

    def set_clock(self, seconds):
        self.put(0, "<q", int(seconds * 1e9))

    def clock(self):
        return self.get(0, "<q") / 1e9

    def set_lies(self, lies):
        self.put(8, "<I", int(lies))

    def set_flush_delay(self, seconds):
        self.put(12, "<I", int(seconds * 1e6))

    def fail(self, calls, error, after=0, sticks=True, place="any"):
        """The call of one of these kinds that comes after so many fails."""
        self.put(16, "<I", 0)
        self.put(20, "<I", error)
        self.put(24, "<q", after)
        self.put(32, "<I", int(sticks))
        self.put(36, "<I", PLACES[place])
        self.put(40, "<Q", 0)
        self.put(16, "<I", sum(1 << CALLS.index(call) for call in calls))

    def crash(self, calls, after=0, place="any"):
        self.fail(calls, CRASH, after, True, place)

    def heal(self):
        self.put(16, "<I", 0)

    def is_armed(self):
        return self.get(16, "<I") != 0

    def failures(self):
        return self.get(40, "<Q")

    def calls(self, call):
        return self.get(48 + 8 * CALLS.index(call), "<Q")

    # --- rest -------------------------------------------------------------------

    def new_boot(self):
        with open(os.path.join(self.folder, "boot"), "w") as file:
            file.write(str(uuid.UUID(int=random.SystemRandom().getrandbits(128))) + "\n")

    def forget(self):
        """What is there now counts as flushed."""
        for name in os.listdir(self.folder):
            if name.endswith((".undo", ".kept")) or name == "names":
                os.unlink(os.path.join(self.folder, name))

    def wipe(self):
        shutil.rmtree(self.data)
        os.makedirs(self.data)
        self.forget()

    def cut_power(self, rng):
        """The server is dead already.  Returns a sentence."""
        undone = self.undo_names(rng)
        writes = 0
        for path in self.files():
            writes += self.undo_writes(path, rng)
        self.forget()
        self.new_boot()
        return "%d names and %d writes undone" % (undone, writes)

    def drop_unflushed(self, rng):
        """As after an error of fdatasync: data is gone, names stay, the machine runs on."""
        for path in self.files():
            self.undo_writes(path, rng, mode="nothing")

    def files(self):
        for folder, _, names in os.walk(self.data):
            for name in sorted(names):
                yield os.path.join(folder, name)

    def undo_names(self, rng):
        path = os.path.join(self.folder, "names")
        if not os.path.exists(path):
            return 0
        records, flushed = [], {}
        with open(path, "rb") as file:
            while len(bytes_ := file.read(NAME.size)) == NAME.size:
                kind, where, inode, from_, to = NAME.unpack(bytes_)
                records.append((kind, where, inode, from_.rstrip(b"\0").decode(), to.rstrip(b"\0").decode()))
                if kind == FLUSH:
                    flushed[where] = inode
        loose = [i for i, r in enumerate(records) if r[0] != FLUSH and i >= flushed.get(r[1], 0)]
        keep = rng.randint(0, len(loose)) if rng.random() < 0.7 else 0
        for i in reversed(loose[keep:]):
            self.undo_name(*records[i])
        return len(loose) - keep

    def undo_name(self, kind, _, inode, from_, to):
        kept = os.path.join(self.folder, "%d.kept" % inode)
        if kind == CREATE and os.path.exists(from_):
            os.unlink(from_)
        elif kind == MKDIR and os.path.isdir(from_):
            shutil.rmtree(from_)
        elif kind == RENAME:
            if os.path.exists(to):
                os.rename(to, from_)
            if inode and os.path.exists(kept):
                os.rename(kept, to)
        elif kind == UNLINK and inode and os.path.exists(kept):
            os.rename(kept, from_)

    def undo_writes(self, path, rng, mode=None):
        log = os.path.join(self.folder, "%d.undo" % os.stat(path).st_ino)
        if not os.path.exists(log):
            return 0
        records = []
        with open(log, "rb") as file:
            head = file.read(8)
            if len(head) < 8:
                return 0
            at = struct.unpack("<Q", head)[0]
            size = os.fstat(file.fileno()).st_size
            while at + 32 <= size:
                file.seek(at)
                offset, length, size_before, _ = struct.unpack("<QQQQ", file.read(32))
                old = file.read(length)
                if len(old) < length:
                    break  # ended in the middle of remembering: the write itself has not begun
                records.append((offset, old, size_before))
                at += 32 + length
        if not records:
            return 0
        mode = mode or rng.choice(["nothing", "nothing", "everything", "moment", "moment", "sectors", "sectors"])
        if mode == "everything":
            return 0
        self.put_back(path, records, mode, rng)
        return len(records)

    @staticmethod
    def put_back(path, records, mode, rng):
        """Sector by sector: the newest writes are undone, down to the one it keeps."""
        kept, count = {}, len(records)
        moment = rng.randint(0, count) if mode == "moment" else 0
        torn = rng.random() < 0.7

        def keeps(sector):
            if mode == "nothing":
                return 0
            if sector not in kept:
                if mode == "moment":
                    kept[sector] = moment
                else:
                    kept[sector] = rng.choice([0, count, rng.randint(0, count)])
            return kept[sector]

        with open(path, "r+b") as file:
            final = os.fstat(file.fileno()).st_size
            for index in range(count, 0, -1):
                offset, old, _ = records[index - 1]
                # The write the power went in: only its first sectors.
                cut = offset + rng.randint(0, len(old)) if torn and mode == "moment" and index == moment else None
                at = offset
                while at < offset + len(old):
                    sector = at // SECTOR
                    end = min((sector + 1) * SECTOR, offset + len(old))
                    is_lost = keeps(sector) < index or (cut is not None and at >= cut // SECTOR * SECTOR)
                    if is_lost:
                        file.seek(at)
                        file.write(old[at - offset:end - offset])
                    at = end
            if mode == "moment" and moment < count:
                final = records[moment][2]
            elif mode == "nothing" or (mode == "sectors" and rng.random() < 0.5):
                final = records[0][2]
            file.truncate(final)

    def flip_bit(self, rng, suffix=""):
        """A bit of something written; a sentence, None if there is nothing."""
        candidates = [path for path in self.files() if suffix in path[len(self.data):] and os.path.getsize(path) and
                      not path.endswith(("stdout", ".log", ".tmp")) and "spare" not in path]
        rng.shuffle(candidates)
        for path in candidates:
            with open(path, "r+b") as file:
                data = file.read()
                end = len(data.rstrip(b"\0"))
                if not end:
                    continue
                at, bit = rng.randrange(end), rng.randrange(8)
                file.seek(at)
                file.write(bytes([data[at] ^ 1 << bit]))
                return "bit %d of byte %d of %s (%d written)" % (bit, at, path[len(self.data) + 1:], end)
        return None


ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
