"""From sources to targets: scan, read in workers, divide, join in order, check, swap in.

The steps and what each leaves behind:
    scan      the list of images, the classes where the source knows them (``class_list.py``)
    read      one file a part in the staging folder (``work.py``), by any number of workers
    plan      split and name of each image (``division.py``), numbers of the classes
    join      the targets' files, part after part, by this process alone, and the pictures (``joining.py``)
    check     ``validate`` on the new folder
    swap      the new folder in the old one's place
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import msgspec

from seg2knet.converters.base import Handle, Reader, Scan, Writer, WriterOptions
from seg2knet.converters.classes import class_list
from seg2knet.converters.ledger import Ledger
from seg2knet.converters.options import ConvertOptions, Source
from seg2knet.converters.output import checking
from seg2knet.converters.output import images as pictures
from seg2knet.converters.output.joining import Joining
from seg2knet.converters.output.record import Record, usable
from seg2knet.converters.output.staging import Staging, check_target
from seg2knet.converters.registry import reader as reader_of
from seg2knet.converters.registry import writer as writer_of
from seg2knet.converters.splitting.catalogue import Catalogue
from seg2knet.converters.splitting.division import Plan, folder_names, plan
from seg2knet.converters.splitting.packed import BLOCK, Packed, cut, pack
from seg2knet.converters.splitting.splits import canonical
from seg2knet.converters.transforms import Recipe
from seg2knet.converters.work import Brief, Census, Placing, Summary, Task, Work, read_summary
from seg2knet.dataset.classes import ClassList
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
        reports: what ``validate`` found, by folder; without the data sets and the fixes.
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
        self.record = Record(format, sources, options, self.readers[0])

    def run(self) -> Result:
        scans = self.scan()
        classes = class_list.told(self.options, scans)
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
        resumes = [staging.begin(self.record.plan(self.handles, classes), self.options.resume) for staging in stagings]
        images, resumed = self.read(workers, self.writers(classes), recipe, stagings[0], resumes[0])
        if classes is None:
            classes = class_list.seen(self.options, set(images.labels.numbers))
        writers = self.writers(classes)
        division = self.divide(images)
        trees = {name: self._staging(name, stagings).tree for name in self.options.targets}
        self.join(workers, writers, classes, division, stagings[0], trees, _meta(scans))
        balance = self.ledger.imbalance()
        if balance is not None:
            raise AssertionError(f"the ledger does not balance: {balance}")  # ours to fix, never a user's
        result = Result(self.ledger, classes, {name: self.options.root(name) for name in self.options.targets})
        result.resumed = resumed
        for staging in stagings:
            (staging.tree / LEDGER).write_bytes(self.record.ledger(self.ledger))
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
        self.handles: list[Packed[Handle]] = []
        said = self._splits_of_sources()
        for split, reader in zip(said, self.readers):
            found = reader.scan()
            handles = found.handles
            if split is not None:
                handles = Packed(Handle, (msgspec.structs.replace(handle, split=split) for handle in handles))
            # Held here alone, so that ``read`` can let go of them as it goes.
            self.handles.append(handles if isinstance(handles, Packed) else Packed(Handle, handles))
            scans.append(msgspec.structs.replace(found, handles=()))
            for skip in found.skips:
                self.ledger.objects_read += skip.count
                self.ledger.skip(skip)
            for note in found.notes:
                self.ledger.note(note)
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

    def census(self, workers: Engine, recipe: Recipe) -> ClassList:
        """Read everything once for the labels."""
        labels: set[str] = set()
        done = 0
        tasks = list(self.tasks())
        for task, found in zip(tasks, workers.map(Census(self.readers, recipe), tasks)):
            labels |= found
            done += task.count
            self.progress("classes", done, self.total)
        return class_list.seen(self.options, labels)

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
        size = max(1, min(BLOCK, self.total // 128))
        number = 0
        for source, handles in enumerate(self.handles):
            anew = ((len(some), pack(some)) for some in cut(handles, size))
            for count, packed in handles.blocks if size == BLOCK else anew:
                yield Task(number, source, count, packed)
                number += 1

    def read(
        self, workers: Engine, writers: Sequence[Writer], recipe: Recipe, staging: Optional[Staging], resume: bool
    ) -> tuple[Catalogue, int]:
        """Read, transform and encode everything; what is finished is in the staging folder.

        Returns:
            The images, and how many parts were there from a run that died.
        """
        work = Work(self.readers, recipe, writers, staging, self.options.images, self.options.exif == "upright")
        tasks = deque(self.tasks())
        self.handles = []
        there = {task.number for task in tasks if resume and staging is not None and usable(task, staging)}
        results = workers.map(work, _poured(deque(task for task in tasks if task.number not in there)))
        images = Catalogue(any(writer.png_names for writer in writers))
        decoder, done = msgspec.msgpack.Decoder(Summary), 0
        while tasks:
            task = tasks.popleft()
            done += task.count
            head = read_summary(staging.part(task.number)) if staging and task.number in there else next(results)
            summary = decoder.decode(head)
            self.ledger.add(summary.ledger)
            images.add(task.source, summary.images)
            self.progress("read", done, self.total)
        return images, len(there)

    def rehearse(self, workers: Engine, recipe: Recipe, classes: Optional[ClassList], scans: Sequence[Scan]) -> Result:
        """``--dry-run``: everything but writing."""
        images, _ = self.read(workers, self.writers(classes), recipe, None, False)
        if classes is None:
            classes = class_list.seen(self.options, set(images.labels.numbers))
        self.divide(images)
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

    def divide(self, images: Catalogue) -> Plan:
        """Give each image its split and name, and enter what is written into the ledger."""
        division = plan(images, folder_names([source.path for source in self.sources]), self.options, self.ledger)
        for split in division.used:
            self.ledger.splits[split] = (0, 0)
        for image, split, name in division:
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
        return division

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
        joining = Joining(writers, division, staging, trees, self.options.images)
        try:
            for writer in writers:
                writer.open(trees[writer.name], classes, meta, division.used)
            done = 0
            for placed in workers.map(Placing(self.options.images), joining.parts()):
                done += placed
                self.progress("write", done, self.total)
            for writer in writers:
                writer.close()
        except OSError as error:
            raise pictures.unwritable(staging.tree, error) from None

    def check(self, result: Result, stagings: Sequence[Staging]) -> None:
        """Run the validator over what was written."""
        ignored = ("IM",) if self.options.images == "none" else ()
        for root, staging in zip(self.roots, stagings):
            self.progress("check", 0, 1)
            result.reports[root] = checking.check(staging.tree, root, ignored, self.options.jobs)
            self.progress("check", 1, 1)

    def _staging(self, target: str, stagings: Sequence[Staging]) -> Staging:
        return stagings[self.roots.index(self.options.root(target))]


def _poured(tasks: deque[Task]) -> Iterator[Task]:
    """Each task, and then no longer held."""
    while tasks:
        yield tasks.popleft()


def _meta(scans: Sequence[Scan]) -> Optional[dict[str, Any]]:
    """``info`` and ``licenses`` of the one source that has them; of several there is no saying whose they are."""
    return scans[0].meta if len(scans) == 1 else None
