# SPDX-License-Identifier: MIT OR Apache-2.0
# Files, threads and children, as a program of Python's uses them.
import hashlib, io, mmap, os, pickle, shutil, subprocess, sys, tempfile, threading, warnings

# Of forking with threads: those who execute for this one are seen.
warnings.simplefilter("ignore", DeprecationWarning)

with open("tree/a/long", "rb") as file:
    data = file.read()
print(len(data), hashlib.sha256(data).hexdigest())
shutil.copytree("tree", "copy", symlinks=True)
print(sorted(os.listdir("copy/a")), os.stat("copy/small").st_size, os.lstat("copy/a/link").st_size)
with open("text", "w+", encoding="utf-8") as file:
    print("line", file=file)
    file.flush()
    os.fsync(file.fileno())
    file.seek(0)
    print(file.read().strip())
fd = os.open("text", os.O_RDWR)
os.pwrite(fd, b"LINE", 0)
print(os.pread(fd, 10, 0), os.fstat(fd).st_size, os.preadv(fd, [bytearray(2), bytearray(9)], 1))
# These are preadv2 and pwritev2 of the C library; -1 is the file's own position.
print(os.pwritev(fd, [b"no", b"de"], 0), os.preadv(fd, [bytearray(3)], -1), os.pwritev(fd, [b"."], -1))
for call in (lambda: os.preadv(fd, [bytearray(1)], -2), lambda: os.pwritev(fd, [b"x"], 0, 1 << 20)):
    try:
        print(call())
    except OSError as error:
        print(error)
print(os.pread(fd, 10, 0), os.lseek(fd, 0, os.SEEK_CUR), os.preadv(fd, [bytearray(1)], 0, os.RWF_HIPRI))
os.close(fd)
try:
    os.close(fd)
except OSError as error:
    print(error)
with open("map", "wb+") as file:
    file.truncate(8192)
    with mmap.mmap(file.fileno(), 8192) as memory:
        memory[4096:4100] = b"mmap"
    file.seek(4096)
    print(file.read(4))
for arguments in ({"close_fds": True}, {"close_fds": False}, {"preexec_fn": lambda: None}):
    done = subprocess.run(["sh", "-c", "cat text; cat missing"], capture_output=True, **arguments)
    print(done.returncode, done.stdout, b"missing" in done.stderr)
try:
    subprocess.run(["./nothing"])
except FileNotFoundError as error:
    print(error)
results = [None] * 12

def work(number):
    name = "thread%d" % number
    with open(name, "wb") as file:
        pickle.dump([number] * 1000, file)
    with open(name, "rb") as file:
        results[number] = sum(pickle.load(file))

threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(results)
pid = os.fork()
if pid == 0:
    with open("child", "wb") as file:
        file.write(b"child")
    os._exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), open("child").read())
with tempfile.TemporaryFile() as file:
    file.write(b"temporary")
    file.seek(0)
    print(file.read())
reader, writer = os.pipe()
os.write(writer, b"through")
print(os.read(reader, 20))
os.closerange(3, 2000)
print(len(open("tree/small", "rb").read()))
