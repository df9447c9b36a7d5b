#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The demo's part in the guest: three programs sync one real tree, and are measured.

    demo.py TREE.tar RESULT.jsonl [--files N] [--small]

The tree is unpacked on the guest's own disk. Each of flexsync over the module, flexsync with
plain calls and stock rsync syncs it to a directory of its own: first to nothing, then again
with nothing to do, then after the tree was changed, with --delete and the delta algorithm.
System calls are counted from outside, by the raw_syscalls:sys_enter tracepoint for the program
and its threads.

Writes one JSON object a line for each run, prints a table, and fails if a copy differs from the
tree or a promise does not hold.
"""

import argparse
import atexit
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

WORK = "/var/tmp/demo"
SOURCE = WORK + "/tree"
PHASES = ("first", "again", "changed")
BACKENDS = ("module", "direct", "rsync")
KEYS = ("backend", "phase", "seconds", "files", "bytes", "literal", "matched", "traps",
        "entries_w", "entries_t", "entries_c", "handed_back")
EDITED_AT_LEAST = 16 << 10  # bytes; smaller files have too few blocks to match

started = time.monotonic()


def say(text):
    print(f"demo: {time.monotonic() - started:5.0f} s  {text}", file=sys.stderr, flush=True)


def die(text):
    sys.exit(f"demo: error: {text}")


def destination(backend):
    return f"{WORK}/{backend}"


def command(backend, phase, stats_file):
    options = ["-a"]
    if phase == "changed":
        options += ["--delete", "--no-whole-file"]
    if backend == "rsync":
        program = ["rsync", "--stats"]
    else:
        program = ["flexsync", f"--backend={backend}", f"--stats-json={stats_file}"]
    return program + options + [SOURCE + "/", destination(backend) + "/"]


def rsync_figures(text):
    """What we compare, from the output of rsync --stats."""
    def figure(label):
        found = re.search(rf"^{label}: ([\d,.]+)", text, re.M)
        if not found:
            die(f"rsync --stats printed no \"{label}\":\n{text}")
        return int(re.sub(r"\D", "", found[1]))
    return {
        "files": figure("Number of files"),
        "bytes": figure("Total transferred file size"),
        "literal": figure("Literal data"),
        "matched": figure("Matched data"),
        "entries_w": 0, "entries_t": 0, "entries_c": 0, "handed_back": 0,
    }


def measure(backend, phase):
    """One run: the figures of one row."""
    subprocess.run(["sync"], check=True)
    with tempfile.TemporaryDirectory() as scratch:
        counts, stats = scratch + "/perf", scratch + "/stats"
        counter = ["perf", "stat", "-x", ";", "-o", counts,
                   "-e", "raw_syscalls:sys_enter,duration_time", "--"]
        run = subprocess.run(counter + command(backend, phase, stats),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode != 0:
            die(f"{backend}, {phase}: exit status {run.returncode}\n{run.stdout}")
        counted = {}
        with open(counts) as lines:
            for line in lines:
                fields = line.split(";")
                if len(fields) > 2 and fields[0].isdigit():
                    counted[fields[2]] = int(fields[0])
        if "raw_syscalls:sys_enter" not in counted or "duration_time" not in counted:
            die("perf stat counted nothing: " + open(counts).read())
        if backend == "rsync":
            row = rsync_figures(run.stdout)
        else:
            with open(stats) as file:
                row = json.load(file)
            if row["backend"] != backend:
                die(f"flexsync ran on backend {row['backend']}, not {backend}")
    row.update(backend=backend, phase=phase, traps=counted["raw_syscalls:sys_enter"],
               seconds=round(counted["duration_time"] / 1e9, 3))
    return {key: row[key] for key in KEYS}


def regular_files():
    found = []
    for directory, names, files in os.walk(SOURCE):
        names.sort()
        for name in sorted(files):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append(path)
    return found


def change_tree():
    """Edits, insertions, renames, deletions and new files; the number of entries stays.

    Returns how many bytes the files have that were changed in place.
    """
    pick = random.Random(20101004)
    files = regular_files()
    large = [path for path in files if os.path.getsize(path) >= EDITED_AT_LEAST]
    if len(large) < 120:
        die(f"the tree has only {len(large)} files of {EDITED_AT_LEAST} bytes and more")
    pick.shuffle(large)
    edited, shifted = large[:60], large[60:120]
    changed = 0
    for path in edited:
        with open(path, "r+b") as file:
            size = os.path.getsize(path)
            for _ in range(3):
                file.seek(pick.randrange(size - 16))
                file.write(pick.randbytes(16))
        changed += os.path.getsize(path)
    for path in shifted:
        with open(path, "rb") as file:
            data = file.read()
        for _ in range(2):
            at = pick.randrange(len(data))
            data = data[:at] + pick.randbytes(37) + data[at:]
        with open(path, "wb") as file:
            file.write(data)
        changed += len(data)

    touched = set(edited) | set(shifted)
    rest = [path for path in files if path not in touched]
    pick.shuffle(rest)
    for path in rest[:40]:
        os.rename(path, path + ".renamed")
    for path in rest[40:90]:
        os.unlink(path)
    for number in range(50):
        directory = os.path.dirname(pick.choice(rest[90:]))
        with open(f"{directory}/new file {number}", "wb") as file:
            file.write(pick.randbytes(pick.randrange(1, 20_000)))
    parent = max((entry.path for entry in os.scandir(SOURCE) if entry.is_dir()),
                 key=lambda path: len(os.listdir(path)), default=SOURCE)
    inner = sorted(entry.path for entry in os.scandir(parent) if entry.is_dir())
    os.rename(inner[0], inner[0] + ".renamed")
    return changed


def verify():
    for backend in ("module", "direct"):
        there = destination(backend) + "/"
        for check in (["rsync", "-rlptnci", "--delete", SOURCE + "/", there],
                      ["diff", "-r", "--no-dereference", SOURCE, there]):
            say(f"checking the copy of {backend}: {' '.join(check[:3])} ...")
            run = subprocess.run(check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if run.returncode != 0 or run.stdout:
                die(f"the copy made with --backend {backend} differs from the tree; "
                    f"{check[0]} says:\n{run.stdout[:4000]}")


def judge(rows, changed_bytes, small):
    """What the demo promises: a list of what does not hold.

    How often a lane sleeps and is kicked awake hangs on timing, so for a small tree, where that
    is not drowned by the work, figures of traps and lanes are not judged.
    """
    by = {(row["backend"], row["phase"]): row for row in rows}
    broken = []

    def promise(holds, text):
        if not holds:
            broken.append(text)

    for phase in PHASES:
        module, direct, stock = (by[backend, phase] for backend in BACKENDS)
        promise(module["files"] == direct["files"] == stock["files"] == by["rsync", "first"]["files"],
                f"{phase}: the programs examined different numbers of entries: "
                f"{module['files']}, {direct['files']}, {stock['files']}")
        promise(small or module["traps"] * 10 < direct["traps"],
                f"{phase}: the module row has {module['traps']} traps, not fewer than a tenth of "
                f"the direct row's {direct['traps']}")
        promise(small or direct["traps"] <= stock["traps"],
                f"{phase}: the direct row has {direct['traps']} traps, stock rsync {stock['traps']}")
        entries = module["entries_w"] + module["entries_t"] + module["entries_c"]
        total = entries + module["handed_back"]
        promise(entries > 0, f"{phase}: no entry went through the page")
        if (os.cpu_count() or 1) > 1 and not small:
            promise((module["entries_w"] + module["entries_t"]) * 10 >= entries * 9,
                    f"{phase}: {module['entries_c']} of {entries} entries ran in lane C")
        promise(module["handed_back"] * 100 < max(total, 1),
                f"{phase}: {module['handed_back']} of {total} entries were handed back")
    for backend in ("module", "direct"):
        row, stock = by[backend, "changed"], by["rsync", "changed"]
        promise(row["matched"] >= 0.8 * changed_bytes,
                f"{backend}: matched {row['matched']} of {changed_bytes} bytes in changed files, "
                "less than 80 %")
        promise(row["literal"] <= 1.1 * stock["literal"],
                f"{backend}: {row['literal']} literal bytes, stock rsync {stock['literal']}")
    return broken


def table(rows, names):
    head = ("program", "phase", "seconds", "files/s", "moved MB", "literal MB", "matched MB",
            "traps/file", "W", "T", "C", "back")
    lines = [head]
    for row in rows:
        lines.append((names[row["backend"]], row["phase"], f"{row['seconds']:.2f}",
                      f"{row['files'] / row['seconds']:.0f}", f"{row['bytes'] / 1e6:.2f}",
                      f"{row['literal'] / 1e6:.2f}", f"{row['matched'] / 1e6:.2f}",
                      f"{row['traps'] / row['files']:.3f}",
                      *(str(row[key]) if row["backend"] != "rsync" else "-"
                        for key in ("entries_w", "entries_t", "entries_c", "handed_back"))))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("tree")
    parser.add_argument("result")
    parser.add_argument("--files", type=int, default=10_000,
                        help="how many files the tree must have at least")
    parser.add_argument("--small", action="store_true",
                        help="a small tree: judge the copies, not the traps and lanes")
    options = parser.parse_args()

    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(SOURCE)
    say("unpacking the tree on the guest's ext4 ...")
    subprocess.run(["tar", "-xf", options.tree, "-C", SOURCE], check=True)
    count = len(regular_files())
    if count < options.files:
        die(f"{options.tree} has only {count} files, fewer than {options.files}")
    say(f"{count} files")
    for backend in BACKENDS:
        os.mkdir(destination(backend))

    version = subprocess.run(["rsync", "--version"], stdout=subprocess.PIPE, text=True, check=True)
    version = version.stdout.split()[2]
    names = {"module": "flexsync --backend module", "direct": "flexsync --backend direct",
             "rsync": f"rsync {version}"}

    # One counter stays open all the time: the kernel patches its code when the first one is
    # opened and the last one closed, and not for each run.
    keeper = subprocess.Popen(["perf", "stat", "-o", "/dev/null", "-e", "raw_syscalls:sys_enter", "--",
                               "sleep", "infinity"])
    atexit.register(keeper.terminate)
    time.sleep(1)
    rows = []
    changed_bytes = 0
    with open(options.result, "w") as result:
        for phase in PHASES:
            if phase == "changed":
                say("changing the tree ...")
                changed_bytes = change_tree()
            for backend in BACKENDS:
                say(f"{phase}: {names[backend]} ...")
                row = measure(backend, phase)
                rows.append(row)
                result.write(json.dumps(row) + "\n")
                result.flush()
    verify()
    rows.sort(key=lambda row: (PHASES.index(row["phase"]), BACKENDS.index(row["backend"])))
    print(f"\n{rows[0]['files']} entries; traps counted by the raw_syscalls:sys_enter tracepoint; "
          "W, T, C: entries\nexecuted by page workers, system call threads, the caller; back: "
          "handed back\n")
    table(rows, names)
    print()
    broken = judge(rows, changed_bytes, options.small)
    for text in broken:
        print(f"demo: broken promise: {text}")
    if broken:
        sys.exit(1)
    print("Both copies are equal to the tree (rsync -rlptnci --delete, diff -r).")


main()
