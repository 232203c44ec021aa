"""A conversion from end to end: scan, read, divide, write, check, swap in.

Workers read, transform and encode, and leave what is finished in the staging folder; the parent sees of each image but
what decides its split and its name, then joins the parts in the order of the scan. So bytes do not depend on workers,
and memory grows by about a kilobyte an image.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Callable, Optional

import msgspec
import orjson

from seg2knet._version import __version__
from seg2knet.converters import classes as class_list
from seg2knet.converters.base import Handle, Reader, Scan, Writer
from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import ConvertOptions, Source
from seg2knet.converters.output import checking
from seg2knet.converters.output.joining import join, splits_of
from seg2knet.converters.output.staging import Staging, check_target, files_in, write, writing
from seg2knet.converters.registry import reader as reader_of
from seg2knet.converters.registry import writer as writer_of
from seg2knet.converters.splitting.division import Assignment, assign, folder_names
from seg2knet.converters.splitting.splits import canonical
from seg2knet.converters.work import Done, Task, Work, count_objects, part_is_current, read_part
from seg2knet.dataset.classes import ClassList
from seg2knet.dataset.layout import LEDGER, SHEET
from seg2knet.dataset.sample import Note, Skip
from seg2knet.dataset.text import clean_name
from seg2knet.engines import Engine, engine
from seg2knet.errors import DataError, printable

_PART = 128
"""Images of a part, at most."""
_SHOWN = 400
"""About how many images the contact sheet is chosen from."""
_LOOKS = ("IM014", "IM015", "SP006", "SP007")
"""Rules that decode every image, which costs more than the conversion: ``validate`` alone goes by them."""

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how many images are done, of how many."""


@dataclass
class Result:
    """What a conversion did."""

    ledger: Ledger
    classes: ClassList
    folders: dict[str, Path] = field(default_factory=dict)  # by target; empty after ``--dry-run``
    reports: dict[Path, Any] = field(default_factory=dict)  # by folder: what ``validate`` found, without data and fixes
    problems: dict[str, list[str]] = field(default_factory=dict)  # by target: what the check of another target found
    resumed: int = 0  # parts that were taken from a run that died


class Conversion:
    """One run. Its methods are its steps, in their order; where one raises, whatever was there before is as it was."""

    def __init__(
        self,
        format: str,
        sources: Sequence[Source],
        options: ConvertOptions,
        progress: Progress = lambda step, done, total: None,
    ) -> None:
        self.options = options
        self.progress = progress
        self.sources = sources
        self.format = format
        self.stagings = {root: Staging(root) for root in map(options.root, options.targets)}
        self.former: dict[Path, list[str]] = {}  # by folder: the sources of the conversion that is replaced there
        for source in sources:
            if not source.path.exists():
                raise DataError("no such source", file=source.path, hint="check the path; quote it if it has spaces")
        if not options.dry_run:
            for root, staging in self.stagings.items():
                self.former[root] = check_target(staging.target, [one.path for one in sources], self._replaced(staging))
        kind = reader_of(format)
        self.readers: list[Reader] = [kind(source.path, options.reader) for source in sources]
        self.parts = next(iter(self.stagings.values()))
        """The staging folder that has the parts: the first target's."""
        self.ledger = Ledger()
        self.shown: dict[int, tuple[Reader, Handle]] = {}  # images from which the contact sheet is chosen, by number

    def _replaced(self, staging: Staging) -> Optional[set[str]]:
        """The targets that this run makes in a folder; ``None`` where whatever stands there may be replaced."""
        if self.options.overwrite:
            return None
        return {name for name in self.options.targets if self.stagings[self.options.root(name)] is staging}

    def run(self) -> Result:
        scans = self.scan()
        classes = class_list.told(self.options, scans)
        options = self.options
        with engine(options.engine, options.jobs, options.ray_address) as workers:
            if classes is None and any(writer_of(name).needs_classes for name in options.targets):
                classes = self.census(workers)
            try:
                resume = [] if options.dry_run else self.begin(classes)
                images, resumed = self.read(workers, classes, all(resume))
                if classes is None:
                    classes = class_list.seen(options, {label for image in images for label in image.labels})
                assignments = self.assign(images)
                if options.dry_run:
                    return Result(self.ledger, classes)
                # ``info`` and ``licenses`` of one source; of several there is no saying whose they are.
                self.join(classes, assignments, scans[0].meta if len(scans) == 1 else None)
                self.draw(classes, assignments)
                return self.finish(Result(self.ledger, classes, resumed=resumed))
            finally:
                for staging in self.stagings.values():
                    staging.release()

    def scan(self) -> list[Scan]:
        """List what there is."""
        scans = []
        for split, reader in zip(self._splits_of_sources(), self.readers):
            scan = self._told(reader.scan(), reader)
            if split is not None:
                handles = [msgspec.structs.replace(handle, split=split) for handle in scan.handles]
                scan = msgspec.structs.replace(scan, handles=handles)
            scans.append(scan)
            for skip in scan.skips:
                self.ledger.objects_read += skip.count
                self.ledger.skip(skip)
            self.ledger.note(*scan.notes)
        self.total = sum(len(scan.handles) for scan in scans)
        if not self.total:
            raise DataError("no image here", file=self.sources[0].path, hint="check the format and the path")
        # Of a size that depends on the data alone, so that a run can be resumed with other workers.
        size = max(1, min(_PART, self.total // 128))
        parts = (
            (source, scan.handles[start : start + size])
            for source, scan in enumerate(scans)
            for start in range(0, len(scan.handles), size)
        )
        self.tasks = [Task(number, *part) for number, part in enumerate(parts)]
        return [msgspec.structs.replace(scan, handles=()) for scan in scans]  # the tasks have them now

    def _told(self, scan: Scan, reader: Reader) -> Scan:
        """A scan without files whose names no target can hold, and with names of classes that can be shown."""
        handles = []
        for handle in scan.handles:
            try:
                msgspec.msgpack.encode(handle)
                handles.append(handle)
            except UnicodeEncodeError:
                self.ledger.images_read += 1
                place = printable(f"{reader.source}: {handle.name}")
                detail = "rename the file: names must be UTF-8"
                self.ledger.lose_image("name-not-unicode", place, detail, count_objects(reader, handle))
        classes = scan.classes
        if classes is not None:
            classes = classes.renamed({name: clean_name(name) for name in classes.names})
        return msgspec.structs.replace(scan, handles=handles, classes=classes)

    def _splits_of_sources(self) -> list[Optional[str]]:
        """The split of each source: as the user says, else as several sources' own names do (trainset, testset)."""
        given = [source.split for source in self.sources]
        named = [canonical(source.path.name) or canonical(source.path.parent.name) for source in self.sources]
        if len(self.sources) > 1 and not any(given) and all(named) and len(set(named)) == len(named):
            for source, split in zip(self.sources, named):
                self.ledger.note(Note("split-by-name", str(source.path), f"taken as {split}; else say SPLIT=SOURCE"))
            return named
        return given

    def census(self, workers: Engine) -> ClassList:
        """Read everything once for the labels."""
        labels: set[str] = set()
        work = Work(self.readers, self.options.model_copy(update={"images": "none"}), None)
        sizes = accumulate(len(task.handles) for task in self.tasks)
        for done, part in zip(sizes, workers.map(work, self.tasks)):
            labels.update(label for image in part.images for label in image.labels)
            self.progress("classes", done, self.total)
        return class_list.seen(self.options, labels)

    def begin(self, classes: Optional[ClassList]) -> list[bool]:
        """Take the staging folders; for each, whether it has parts of an equal run.

        What decides the bytes of the parts is noted there: a run with the same can continue where this one stops.
        """
        digest = hashlib.blake2b(digest_size=16)
        for task in self.tasks:
            digest.update(msgspec.msgpack.encode(task.handles))
        plan = {
            "seg2knet": __version__,
            "format": self.format,
            "sources": [str(source.path.absolute()) for source in self.sources],
            "images": digest.hexdigest(),
            "classes": list(classes.names) if classes is not None else None,
            "stuff": list(classes.stuff) if classes is not None else None,
            **self._asked(),
        }
        return [staging.begin(plan, self.options.resume) for staging in self.stagings.values()]

    def _asked(self) -> dict[str, Any]:
        """The options, the reader's too, that decide the result."""
        return {**self.options.recorded(), "reader": self.readers[0].options.model_dump(mode="json")}

    def writers(self, classes: Optional[ClassList]) -> list[Writer]:
        options = self.options
        stuff = frozenset(classes.stuff) if classes is not None else (options.stuff or frozenset())
        if classes is None and options.void_class is not None:
            stuff |= {options.void_class}
        overlap = options.overlap or ("z-order" if self.readers[0].paint_order else "small-first")
        options = options.model_copy(update={"stuff": stuff, "overlap": overlap})
        return [writer_of(name)(options, classes) for name in options.targets]

    def read(self, workers: Engine, classes: Optional[ClassList], resume: bool) -> tuple[list[Done], int]:
        """Read, transform and encode everything into the staging folder: the images, and how many parts were there."""
        staging = None if self.options.dry_run else self.parts
        there = {task.number for task in self.tasks if staging and resume and part_is_current(task, staging)}
        known = frozenset(classes.names) if classes is not None else None
        work = Work(self.readers, self.options, known, self.writers(classes), staging)
        # Each task is let go of when it is done: what is known of its images then takes its place.
        tasks, self.tasks, self.count = deque(self.tasks), [], len(self.tasks)
        results = workers.map(work, _poured(deque(task for task in tasks if task.number not in there)))
        images: list[Done] = []
        done = 0
        for task in _poured(tasks):
            part = read_part(self.parts.part(task.number)).brief() if task.number in there else next(results)
            self.ledger.add(part.ledger)
            for number, image in enumerate(part.images, len(images)):
                if image.labels and number % (self.total // _SHOWN + 1) == 0:
                    self.shown[number] = self.readers[task.source], task.handles[image.index]
            images += part.images
            done += len(task.handles)
            self.progress("read", done, self.total)
        deque(results, maxlen=0)  # so that the engine ends its work
        return images, len(there)

    def assign(self, images: Sequence[Done]) -> list[Assignment]:
        """Give each image its split and name, and enter what is written into the ledger."""
        folders = folder_names([source.path for source in self.sources])
        targets = self.options.targets
        png_names = any(writer_of(name).png_names for name in targets)
        assignments = assign(images, folders, self.options, png_names, self.ledger)
        for split in splits_of(assignments):
            self.ledger.splits[split] = (0, 0)
        for image, (split, name) in zip(images, assignments):
            if name is None:
                reason, place = "annotated-twice", image.path or image.name
                detail = "an earlier annotation names the same image"
                self.ledger.skip_image(reason, place, detail)
                for target, written in zip(targets, image.written):
                    self.ledger.skip(Skip(f"image-{reason}", place, written, detail=detail), target)
                continue
            self.ledger.images_written += 1
            count, objects = self.ledger.splits[split]
            self.ledger.splits[split] = (count + 1, objects + sum(image.labels.values()))
            for target, written in zip(targets, image.written):
                self.ledger.written[target] = self.ledger.written.get(target, 0) + written
            for label, number in image.labels.items():
                self.ledger.classes[label] = self.ledger.classes.get(label, 0) + number
        self._require_something()
        return assignments

    def _require_something(self) -> None:
        """Raises DataError: no image is left to be written, or no object of many, and nobody asked for that."""
        ledger = self.ledger
        nothing = ledger.objects_read and ledger.skips and not any(ledger.written.values())
        if ledger.images_written and (self.options.allow_skips or not nothing):
            return
        tallies = {**ledger.image_skips, **ledger.skips}
        reasons = [f"{reason}: {tally.count}, first {': '.join(tally.places[0])}" for reason, tally in tallies.items()]
        raise DataError(
            f"not one {'object' if ledger.images_written else 'image'} could be converted",
            file=self.sources[0].path,
            found="; ".join(reasons),
            hint="--boxes as-polygons takes the corners of boxes" if "box-only" in tallies else None,
        )

    def join(self, classes: ClassList, assignments: Sequence[Assignment], meta: Optional[dict[str, Any]]) -> None:
        """Write the targets' files, part after part, and bring the images."""
        roots = map(self.options.root, self.options.targets)
        self.written = list(zip(self.writers(classes), (self.stagings[root].tree for root in roots)))
        with writing(self.parts.tree):
            for writer, tree in self.written:
                writer.open(tree, classes, meta, splits_of(assignments))
            for done in accumulate(join(self.count, self.written, assignments, self.parts, self.options.images)):
                self.progress("write", done, self.total)
            for writer, _ in self.written:
                writer.close()

    def draw(self, classes: ClassList, assignments: Sequence[Assignment]) -> None:
        """Leave a contact sheet beside the data."""
        if not self.options.sheet or self.options.images == "none":
            return
        from seg2knet.converters import sheets  # with OpenCV

        places: dict[str, list[tuple[Reader, Handle]]] = {split: [] for split in splits_of(assignments)}
        for number, place in self.shown.items():
            if assignments[number].name is not None:
                places[assignments[number].split].append(place)
        sheet = sheets.of_images(places, self.options, classes)
        if sheet is not None:
            for staging in self.stagings.values():
                write(staging.tree / SHEET, sheet)

    def finish(self, result: Result) -> Result:
        """Write the ledger, check what was written, and swap it in."""
        balance = self.ledger.imbalance()
        if balance is not None:
            raise AssertionError(f"the ledger does not balance: {balance}")  # ours to fix, never a user's
        result.folders = {name: self.options.root(name) for name in self.options.targets}
        root = str(self.sources[0].path) if len(self.sources) == 1 else ""
        document = {
            "seg2knet": __version__,
            "format": self.format,
            "sources": [source.path.name for source in self.sources],
            "options": self._asked(),
            **self.ledger.to_json(root),
        }
        for staging in self.stagings.values():
            file = staging.tree / LEDGER
            file.touch()
            text = orjson.dumps({**document, "files": files_in(staging.tree)}, option=orjson.OPT_INDENT_2)
            file.write_bytes(text + b"\n")
        if self.options.checked:
            self.check(result)
        for staging in self.stagings.values():
            check_target(staging.target, [], self._replaced(staging))  # again: the run took a while
        for staging in self.stagings.values():
            staging.swap()
        for staging in self.stagings.values():
            staging.remove()
        return result

    def check(self, result: Result) -> None:
        """Have what was written read by those who know the targets."""
        ignored = ("IM",) if self.options.images == "none" else _LOOKS
        for number, (writer, tree) in enumerate(self.written):
            self.progress("check", number, len(self.written))
            folder = self.options.root(writer.name)
            if writer.validated and folder not in result.reports:
                result.reports[folder] = checking.check(tree, folder, ignored, self.options.jobs)
            written = self.ledger.written.get(writer.name, 0)
            # Without images a reader cannot know their sizes.
            again = [] if self.options.images == "none" else checking.read_back(writer, tree, written)
            problems = again + writer.check(tree, written)
            if problems:
                result.problems[writer.name] = [problem.replace(f"{tree}", f"{folder}") for problem in problems]
        self.progress("check", len(self.written), len(self.written))


def _poured(tasks: deque[Task]) -> Iterator[Task]:
    """Each task, and then no longer held."""
    while tasks:
        yield tasks.popleft()
