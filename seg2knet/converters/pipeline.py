"""From sources to targets: scan, read in workers, divide, join in order, check, swap in.

The steps and what each leaves behind:
    scan      the list of images, the classes where the source knows them
    read      one file a part in the staging folder (``work.py``), by any number of workers
    plan      split and name of each image (``division.py``), numbers of the classes
    join      the targets' files, part after part, by this process alone, and the pictures
    check     ``validate`` on the new folder
    swap      the new folder in the old one's place
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import msgspec
import orjson

from seg2knet._version import __version__
from seg2knet.converters import names, pictures
from seg2knet.converters.base import IGNORE, Reader, Scan, Writer, WriterOptions
from seg2knet.converters.classfile import read_classes
from seg2knet.converters.division import Plan, folder_names, plan
from seg2knet.converters.files import natural
from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import ConvertOptions, Source
from seg2knet.converters.registry import reader as reader_of
from seg2knet.converters.registry import writer as writer_of
from seg2knet.converters.splits import canonical
from seg2knet.converters.staging import Staging, check_target
from seg2knet.converters.transforms import Recipe
from seg2knet.converters.work import (
    Brief,
    Census,
    Entry,
    Placements,
    Placing,
    Summary,
    Task,
    Work,
    read_entries,
    read_summary,
)
from seg2knet.dataset.classes import ClassInfo, ClassList
from seg2knet.dataset.layout import LEDGER
from seg2knet.dataset.sample import Note, Skip
from seg2knet.engines import Engine, engine
from seg2knet.errors import DataError, UsageError

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how many images are done, of how many."""


@dataclass
class Result:
    """What a conversion did.

    Attributes:
        ledger: the count.
        classes: of the result, in order.
        folders: by target; empty after ``--dry-run``.
        reports: what ``validate`` found, by folder.
        resumed: parts that were taken from a run that died.
    """

    ledger: Ledger
    classes: ClassList
    folders: dict[str, Path] = field(default_factory=dict)
    reports: dict[Path, Any] = field(default_factory=dict)
    resumed: int = 0


def convert(
    format: str,
    sources: Sequence[Source],
    options: Optional[ConvertOptions] = None,
    progress: Progress = lambda step, done, total: None,
) -> Result:
    """Convert ``sources`` of one format.

    Raises:
        Seg2KNetError: the run failed; whatever was there before is as it was.
    """
    return Conversion(format, sources, options or ConvertOptions(), progress).run()


class Conversion:
    """One run. Its methods are its steps, in their order."""

    def __init__(self, format: str, sources: Sequence[Source], options: ConvertOptions, progress: Progress) -> None:
        if not sources:
            raise UsageError("no source", hint="name the folder with the annotations")
        self.options = options
        self.progress = progress
        self.sources = sources
        self.format = format
        self.roots = list(dict.fromkeys(options.root(name) for name in options.targets))
        for source in sources:
            if not source.path.exists():
                raise DataError("no such source", file=source.path, hint="check the path; quote it if it has spaces")
        if not options.dry_run:
            for root in self.roots:
                check_target(root, [source.path for source in sources], options.overwrite)
        kind = reader_of(format)
        self.readers: list[Reader] = [kind(source.path, options.reader or kind.Options()) for source in sources]
        self.ledger = Ledger()

    def run(self) -> Result:
        scans = self.scan()
        classes = self.class_list(scans)
        recipe = Recipe(
            known=frozenset(classes.names) if classes is not None else None,
            mapping=dict(self.options.mapping),
            drop=self.options.drop,
            min_area=self.options.min_area,
            polygons=self.options.polygons,
        )
        with engine(self.options.engine, self.options.jobs, self.options.ray_address) as workers:
            if classes is None and any(writer_of(name).needs_classes for name in self.options.targets):
                classes = self.census(workers, recipe)
            if self.options.dry_run:
                return self.rehearse(workers, recipe, classes, scans)
            stagings = [Staging(root) for root in self.roots]
            try:
                return self.carry_out(workers, recipe, classes, scans, stagings)
            except BaseException:
                for staging in stagings:
                    staging.release()
                raise

    def carry_out(
        self,
        workers: Engine,
        recipe: Recipe,
        classes: Optional[ClassList],
        scans: Sequence[Scan],
        stagings: Sequence[Staging],
    ) -> Result:
        resumes = [staging.begin(self.record(classes), self.options.resume) for staging in stagings]
        images, sources, resumed = self.read(workers, self.writers(classes), recipe, stagings[0], resumes[0])
        if classes is None:
            classes = self.seen_classes(images)
        writers = self.writers(classes)
        png_names = any(writer.png_names for writer in writers)
        folders = folder_names([source.path for source in self.sources])
        division = plan(images, sources, folders, png_names, self.options, self.ledger)
        trees = {name: self._staging(name, stagings).tree for name in self.options.targets}
        self.count(images, division)
        self.join(workers, writers, classes, division, stagings[0], trees, _meta(scans))
        balance = self.ledger.imbalance()
        if balance is not None:
            raise AssertionError(f"the ledger does not balance: {balance}")  # ours to fix, never a user's
        result = Result(self.ledger, classes, {name: self.options.root(name) for name in self.options.targets})
        result.resumed = resumed
        for staging in stagings:
            (staging.tree / LEDGER).write_bytes(self.ledger_json())
        if self.options.validate:
            self.check(result, stagings)
        for staging in stagings:
            staging.swap()
        for staging in stagings:
            staging.remove()
        return result

    def scan(self) -> list[Scan]:
        """List what there is."""
        scans = []
        said = self._splits_of_sources()
        for split, reader in zip(said, self.readers):
            found = reader.scan()
            if split is not None:
                handles = [msgspec.structs.replace(handle, split=split) for handle in found.handles]
                found = msgspec.structs.replace(found, handles=handles)
            scans.append(found)
            for skip in found.skips:
                self.ledger.objects_read += skip.count
                self.ledger.skip(skip)
            for note in found.notes:
                self.ledger.note(note)
        self.handles = [found.handles for found in scans]
        self.total = sum(map(len, self.handles))
        if not self.total:
            raise DataError("no image here", file=self.sources[0].path, hint="check the format and the path")
        return scans

    def _splits_of_sources(self) -> list[Optional[str]]:
        """The split of each source: as the user says, else as several sources' own names do (trainset, testset)."""
        said = [source.split for source in self.sources]
        named = [canonical(source.path.name) or canonical(source.path.parent.name) for source in self.sources]
        if len(self.sources) > 1 and not any(said) and all(named) and len(set(named)) == len(named):
            for source, split in zip(self.sources, named):
                self.ledger.note(Note("split-by-name", str(source.path), f"taken as {split}; else say SPLIT=SOURCE"))
            return named
        return said

    def class_list(self, scans: Sequence[Scan]) -> Optional[ClassList]:
        """The classes in order, or ``None`` where only reading tells."""
        options = self.options
        if options.classes is not None:
            return self._shaped(read_classes(options.classes), of_file=True)
        merged: Optional[ClassList] = ClassList()
        for found in scans:
            merged = merged.merged(found.classes) if merged is not None and found.classes is not None else None
        return self._shaped(merged) if merged is not None else None

    def _shaped(self, classes: ClassList, of_file: bool = False) -> ClassList:
        """Renamed, without those dropped, stuff marked, things first."""
        options = self.options
        if not of_file:
            gone = (options.drop | set(options.mapping)) - set(classes.names)
            if gone:
                raise UsageError(
                    "no such class", found=", ".join(sorted(gone)), expected=", ".join(classes.names),
                    hint="names in --map and --drop are those of the source",
                )  # fmt: skip
        classes = classes.renamed(options.mapping).without(options.drop)
        if options.stuff is not None:
            classes = classes.with_stuff(options.stuff)
        if options.void_class is not None:
            classes = classes.without([options.void_class])
            classes = ClassList((*classes.classes, ClassInfo(options.void_class, isthing=False)))
        return self._ordered(classes)

    def _ordered(self, classes: ClassList) -> ClassList:
        """Things first; but for ADE alone, which knows neither, as they are: places in the list are its numbers."""
        return classes if self.options.targets == ("ade",) else classes.things_first()

    def census(self, workers: Engine, recipe: Recipe) -> ClassList:
        """Read everything once for the labels."""
        labels: set[str] = set()
        done = 0
        tasks = list(self.tasks())
        for task, found in zip(tasks, workers.map(Census(self.readers, recipe), tasks)):
            labels |= found
            done += len(task.handles)
            self.progress("classes", done, self.total)
        return self._named(labels)

    def seen_classes(self, images: Sequence[Brief]) -> ClassList:
        return self._named({label for image in images for label in image.labels})

    def _named(self, labels: set[str]) -> ClassList:
        found = ClassList.of(sorted(labels - {IGNORE}, key=natural))
        stuff = self.options.stuff
        if stuff is not None and not stuff <= set(found.names):
            found = found.merged(ClassList.of(sorted(stuff - set(found.names))))
        if stuff is not None:
            found = found.with_stuff(stuff)
        if self.options.void_class is not None:
            found = found.without([self.options.void_class])
            found = ClassList((*found.classes, ClassInfo(self.options.void_class, isthing=False)))
        return self._ordered(found)

    def writers(self, classes: Optional[ClassList]) -> list[Writer]:
        names = self.options.targets
        stuff = frozenset(classes.stuff) if classes is not None else (self.options.stuff or frozenset())
        if classes is None and self.options.void_class is not None:
            stuff |= {self.options.void_class}
        options = WriterOptions(
            year="2017" if self.options.layout == "year" else "",
            overlap=self.options.overlap,
            void_class=self.options.void_class,
            stuff=stuff,
            things_only="panoptic" in names,
        )
        return [writer_of(name)(options, classes) for name in names]

    def tasks(self) -> Iterator[Task]:
        """The parts: of a size that depends on the data alone, so that a run can be resumed with other workers."""
        size = max(1, min(128, self.total // 128))
        number = 0
        for source, handles in enumerate(self.handles):
            for start in range(0, len(handles), size):
                yield Task(number, source, list(handles[start : start + size]))
                number += 1

    def read(
        self, workers: Engine, writers: Sequence[Writer], recipe: Recipe, staging: Optional[Staging], resume: bool
    ) -> tuple[list[Brief], list[int], int]:
        """Read, transform and encode everything; what is finished is in the staging folder."""
        work = Work(self.readers, recipe, writers, staging, self.options.images, self.options.exif == "upright")
        tasks = list(self.tasks())
        there = {task.number for task in tasks if resume and staging is not None and _usable(task, staging)}
        results = workers.map(work, (task for task in tasks if task.number not in there))
        images: list[Brief] = []
        sources: list[int] = []
        decoder, done = msgspec.msgpack.Decoder(Summary), 0
        shared: dict[Any, Any] = {}
        self.images_of_part = []
        for task in tasks:
            done += len(task.handles)
            head = read_summary(staging.part(task.number)) if staging and task.number in there else next(results)
            summary = decoder.decode(head)
            self.ledger.add(summary.ledger)
            for image in summary.images:  # the same few tuples for all images
                image.labels = shared.setdefault(image.labels, image.labels)
                image.counts = shared.setdefault(image.counts, image.counts)
                image.written = shared.setdefault(image.written, image.written)
            images += summary.images
            sources += [task.source] * len(summary.images)
            self.images_of_part.append(len(summary.images))
            self.progress("read", done, self.total)
        return images, sources, len(there)

    def rehearse(self, workers: Engine, recipe: Recipe, classes: Optional[ClassList], scans: Sequence[Scan]) -> Result:
        """``--dry-run``: everything but writing."""
        images, sources, _ = self.read(workers, self.writers(classes), recipe, None, False)
        if classes is None:
            classes = self.seen_classes(images)
        png_names = any(writer.png_names for writer in self.writers(classes))
        folders = folder_names([source.path for source in self.sources])
        division = plan(images, sources, folders, png_names, self.options, self.ledger)
        self.count(images, division)
        return Result(self.ledger, classes)

    def require_something(self) -> None:
        """
        Raises:
            DataError: not one image is left to be written, or not one object of many, and nobody asked for that.
        """
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

    def count(self, images: Sequence[Brief], division: Plan) -> None:
        """Enter what is written into the ledger."""
        for split in division.used:
            self.ledger.splits[split] = (0, 0)
        for image, split, name in zip(images, division.splits, division.names):
            objects = sum(image.counts)
            if name is None:
                self._lose(image, objects)
                continue
            self.ledger.images_written += 1
            one, many = self.ledger.splits[split]
            self.ledger.splits[split] = (one + 1, many + objects)
            for target, written in zip(self.options.targets, image.written):
                self.ledger.written[target] = self.ledger.written.get(target, 0) + written
            for label, number in zip(image.labels, image.counts):
                self.ledger.classes[label] = self.ledger.classes.get(label, 0) + number
        self.require_something()

    def _lose(self, image: Brief, objects: int) -> None:
        """Leave out a picture that another annotation file of this run describes already."""
        reason, detail = "picture-annotated-twice", "an earlier annotation names the same picture"
        self.ledger.skip_image(reason, image.path or image.name, detail)
        for target, written in zip(self.options.targets, image.written):
            self.ledger.skip_for(target, Skip(reason, image.path or image.name, count=written, detail=detail))

    def join(
        self,
        workers: Engine,
        writers: Sequence[Writer],
        classes: ClassList,
        division: Plan,
        staging: Staging,
        trees: dict[str, Path],
        meta: Optional[dict[str, Any]],
    ) -> None:
        """Write the targets' files, part after part, and bring the pictures."""
        try:
            for writer in writers:
                writer.open(trees[writer.name], classes, meta, division.used)
            done = 0
            for placed in workers.map(Placing(self.options.images), self._parts(writers, division, staging, trees)):
                done += placed
                self.progress("write", done, self.total)
            for writer in writers:
                writer.close()
        except OSError as error:
            raise pictures.unwritable(staging.tree, error) from None

    def _parts(
        self, writers: Sequence[Writer], division: Plan, staging: Staging, trees: dict[str, Path]
    ) -> Iterator[Placements]:
        """Join part after part; what is left to do is to bring the files."""
        folders = _Folders()
        for writer in writers:
            for split in division.used:
                folders.make(f"{trees[writer.name]}/{writer.picture(split, 'x')}", self.options.images != "none")
        at = 0
        for number, count in enumerate(self.images_of_part):
            pairs: list[tuple[str, str, bool]] = []
            for entry in read_entries(staging.part(number)):
                split, name = division.splits[at], division.names[at]
                at += 1
                if name is not None:
                    moves = self._add(writers, split, name, number, entry, staging, trees)
                    pairs += [(source, folders.make(target), staged) for source, target, staged in moves]
            yield Placements(count, pairs)

    def _add(
        self,
        writers: Sequence[Writer],
        split: str,
        name: str,
        number: int,
        entry: Entry,
        staging: Staging,
        trees: dict[str, Path],
    ) -> list[tuple[str, str, bool]]:
        """Give one image to the writers; the files that are to be brought."""
        moves: dict[str, tuple[str, bool]] = {}
        for writer, fragment in zip(writers, entry.fragments):
            final = f"{names.without_suffix(name)}.jpg" if writer.jpeg_only else name
            writer.add(split, final, fragment)
            root = f"{trees[writer.name]}/"
            if writer.name in entry.staged:
                blob = root + writer.blob(split, final)
                moves[blob] = (str(staging.staged(number, entry.index, writer.name)), True)
            form = _form(entry, final) if entry.staged else None
            if form is not None:
                staged = str(staging.staged(number, entry.index, form))
                moves[root + writer.picture(split, final)] = (staged, True)
            elif entry.path is not None and self.options.images != "none":
                moves[root + writer.picture(split, final)] = (entry.path, False)
        return [(source, target, staged) for target, (source, staged) in moves.items()]

    def check(self, result: Result, stagings: Sequence[Staging]) -> None:
        """Run the validator over what was written."""
        from seg2knet.validators import validate

        ignored = ("IM",) if self.options.images == "none" else ()
        for root, staging in zip(self.roots, stagings):
            self.progress("check", 0, 1)
            result.reports[root] = validate(staging.tree, ignore=ignored, jobs=self.options.jobs)
            self.progress("check", 1, 1)

    def record(self, classes: Optional[ClassList]) -> dict[str, Any]:
        """What decides the bytes of this run's parts: a run with the same record can go on where this one stops."""
        digest = hashlib.blake2b(digest_size=16)
        for handles in self.handles:
            digest.update(msgspec.msgpack.encode(list(handles)))
        return {
            "seg2knet": __version__,
            "format": self.format,
            "sources": [str(source.path.absolute()) for source in self.sources],
            "images": digest.hexdigest(),
            "classes": list(classes.names) if classes is not None else None,
            "stuff": list(classes.stuff) if classes is not None else None,
            **self._asked(),
        }

    def _asked(self) -> dict[str, Any]:
        """The options, the reader's too, that decide the result."""
        return {**self.options.recorded(), "reader": self.readers[0].options.model_dump(mode="json")}

    def ledger_json(self) -> bytes:
        root = str(self.sources[0].path) if len(self.sources) == 1 else ""
        document = {
            "seg2knet": __version__,
            "format": self.format,
            "sources": [source.path.name for source in self.sources],
            "options": self._asked(),
            **self.ledger.to_json(root),
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"

    def _staging(self, target: str, stagings: Sequence[Staging]) -> Staging:
        return stagings[self.roots.index(self.options.root(target))]


class _Folders:
    """Makes folders, each once."""

    def __init__(self) -> None:
        self._made: set[str] = set()

    def make(self, target: str, wanted: bool = True) -> str:
        """Make the folder of a file; the file's path."""
        folder = target[: target.rindex("/")]
        if wanted and folder not in self._made:
            os.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        return target


def _form(entry: Entry, final: str) -> Optional[str]:
    """Which staged form of the picture has the final name's format, if it is not the picture itself."""
    ending = names.suffix(final)
    if ending == ".jpg" and "jpg" in entry.staged:
        return "jpg"
    if ending == ".png" and "png" in entry.staged:
        return "png"
    return "picture" if "picture" in entry.staged else None


def _usable(task: Task, staging: Staging) -> bool:
    """Whether a part of an earlier run is there and no file it came from is newer."""
    file = staging.part(task.number)
    try:
        made = file.stat().st_mtime_ns
        paths = {entry.path for entry in read_entries(file) if entry.path}
        for handle in task.handles:
            where = handle.where if isinstance(handle.where, (tuple, list)) else (handle.where,)
            paths |= {item for item in where if isinstance(item, str) and len(item) < 4096}
        return all(_changed(path) <= made for path in paths)
    except (OSError, ValueError, msgspec.MsgspecError):
        return False


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return 0


def _meta(scans: Sequence[Scan]) -> Optional[dict[str, Any]]:
    """``info`` and ``licenses`` of the one source that has them; of several there is no saying whose they are."""
    return scans[0].meta if len(scans) == 1 else None
