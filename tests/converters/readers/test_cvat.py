"""CVAT XML 1.1, images and video."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Optional

import cv2
import numpy as np
import pytest
from folders import kinds, labels, masks, one, picture, read, reasons

from seg2knet.converters.api import convert
from seg2knet.converters.readers.cvat.reader import CvatOptions, CvatReader
from seg2knet.dataset.sample import Polygons
from seg2knet.errors import DataError, UsageError

BOXES = CvatOptions(boxes="as-polygons")
SQUARE = 'points="1,1;5,1;5,4;1,4"'


def images(root: Path, *elements: str, meta: str = "", head: str = '<?xml version="1.0" encoding="utf-8"?>') -> Path:
    root.mkdir(parents=True, exist_ok=True)
    body = f"<annotations><version>1.1</version><meta>{meta}</meta>{''.join(elements)}</annotations>"
    path = root / "annotations.xml"
    path.write_text(head + body, encoding="utf-8")
    return path


def image(*shapes: str, name: str = "a.jpg", size: tuple[int, int] = (20, 10), more: str = "") -> str:
    inner = "\n".join(shapes)
    return f'<image id="0" name="{name}" width="{size[0]}" height="{size[1]}" {more}>{inner}</image>'


def video(root: Path, *tracks: str, size: tuple[int, int] = (20, 10), task: str = "") -> Path:
    width, height = size
    meta = (
        f"<task><id>1</id><original_size><width>{width}</width><height>{height}</height></original_size>{task}</task>"
    )
    return images(root, *tracks, meta=meta)


def box(frame: int, x: float, outside: int = 0, keyframe: int = 1, more: str = "") -> str:
    sides = f'xtl="{x}" ytl="1" xbr="{x + 4}" ybr="5"'
    return f'<box frame="{frame}" outside="{outside}" keyframe="{keyframe}" {sides} {more}></box>'


def track(*shapes: str, label: str = "car", more: str = "") -> str:
    return f'<track id="0" label="{label}" {more}>{"".join(shapes)}</track>'


def test_polygons_keep_their_numbers(tmp_path: Path) -> None:
    images(tmp_path, image('<polygon label="car" points="1.25,2.50;10.123456789,3;7,8" z_order="4" occluded="1"/>'))
    sample = one(CvatReader(tmp_path))
    assert sample.objects[0].shape == Polygons([[1.25, 2.5, 10.123456789, 3, 7, 8]])
    assert sample.objects[0].z == 4
    assert sample.objects[0].attributes == {"occluded": True}
    assert (sample.image.name, sample.image.width, sample.image.height) == ("a.jpg", 20, 10)


def test_a_box_turns_clockwise_about_its_centre(tmp_path: Path) -> None:
    images(tmp_path, image('<box label="car" xtl="5" ytl="4" xbr="11" ybr="6" rotation="90"/>'))
    (mask,) = masks(one(CvatReader(tmp_path)))
    ys, xs = np.nonzero(mask)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (7, 8, 2, 7)
    images(tmp_path, image('<box label="car" xtl="2" ytl="2" xbr="12" ybr="6" rotation="30"/>', size=(20, 20)))
    part = one(CvatReader(tmp_path)).objects[0].shape.parts[0]
    # The upper right corner goes down: clockwise, for y points down.
    assert part[3] > part[1]
    assert np.isclose(part[0], 7 - 5 * np.cos(np.pi / 6) + 2 * np.sin(np.pi / 6))


def test_an_ellipse_has_its_area_and_its_turn(tmp_path: Path) -> None:
    ellipse = '<ellipse label="car" cx="50" cy="40" rx="30" ry="10" rotation="90.0"/>'
    images(tmp_path, image(ellipse, size=(100, 80)))
    (mask,) = masks(one(CvatReader(tmp_path)))
    ys, xs = np.nonzero(mask)
    assert abs(mask.sum() - np.pi * 300) < 12
    assert abs(ys.max() - ys.min() - 60) <= 1
    assert abs(xs.max() - xs.min() - 20) <= 1


def test_a_masks_runs_go_row_by_row_in_its_window(tmp_path: Path) -> None:
    window = np.array([[0, 1, 1], [1, 0, 1]], bool)
    images(tmp_path, image('<mask label="car" rle="1, 3, 1, 1" left="4" top="2" width="3" height="2" z_order="0"/>'))
    (mask,) = masks(one(CvatReader(tmp_path)))
    expected = np.zeros((10, 20), bool)
    expected[2:4, 4:7] = window
    assert (mask == expected).all()


@pytest.mark.parametrize(
    "said",
    ['rle="1, 3, 1"', 'rle="1, 3, -1, 3"', 'rle=""', 'rle="a"', 'rle="1,5" width="100000000"', 'rle="999999999999,1"'],
)
def test_runs_that_do_not_fill_the_window_are_told(tmp_path: Path, said: str) -> None:
    width = "" if "width" in said else 'width="3"'
    images(tmp_path, image(f'<mask label="car" {said} left="4" top="2" {width} height="2"/>'))
    assert reasons(one(CvatReader(tmp_path))) == ["not-a-mask"]


def test_a_mask_beyond_the_edge_is_cut(tmp_path: Path) -> None:
    images(tmp_path, image('<mask label="car" rle="0, 6" left="18" top="-1" width="3" height="2"/>'))
    (mask,) = masks(one(CvatReader(tmp_path)))
    assert mask.sum() == 2
    assert mask[0, 18:].all()


def test_what_has_no_area_is_skipped_by_reason_and_tags_are_counted(tmp_path: Path) -> None:
    images(
        tmp_path,
        image(
            '<polyline label="a" points="1,1;2,2;3,3"/>',
            '<points label="b" points="1,1"/>',
            '<cuboid label="c" xtl1="1"/>',
            '<skeleton label="d"><points label="e" points="1,1"/></skeleton>',
            '<tag label="sunny"/>',
            f'<polygon label="f" {SQUARE}/>',
        ),
    )
    sample = one(CvatReader(tmp_path))
    assert labels(sample) == ["f"]
    assert reasons(sample) == [
        "line-has-no-area",
        "point-has-no-area",
        "cuboid-has-no-mask",
        "skeleton-has-no-area",
    ]
    assert kinds(sample) == ["tag-ignored"]


def test_z_order_is_kept_for_who_lies_over_whom(tmp_path: Path) -> None:
    images(tmp_path, image(f'<polygon label="a" {SQUARE} z_order="2"/>', f'<polygon label="b" {SQUARE} z_order="-1"/>'))
    assert [found.z for found in one(CvatReader(tmp_path)).objects] == [2, -1]


def test_a_group_of_one_label_is_one_object(tmp_path: Path) -> None:
    images(
        tmp_path,
        image(
            f'<polygon label="car" {SQUARE} group_id="3"/>',
            '<polygon label="car" points="10,1;15,1;15,4" group_id="3" z_order="9"/>',
            f'<polygon label="van" {SQUARE} group_id="3"/>',
            f'<polygon label="car" {SQUARE}/>',
            f'<polygon label="car" {SQUARE} group_id="0"/>',
        ),
    )
    sample = one(CvatReader(tmp_path))
    assert labels(sample) == ["car", "van", "car", "car"]
    assert len(sample.objects[0].shape.parts) == 2
    assert sample.objects[0].z == 9
    assert kinds(sample) == ["parts-joined"]


def test_boxes_are_refused_unless_asked_for(tmp_path: Path) -> None:
    plain = '<box label="car" xtl="1" ytl="1" xbr="3" ybr="5"/>'
    images(tmp_path, image(plain))
    assert reasons(one(CvatReader(tmp_path))) == ["box-only"]
    assert masks(one(CvatReader(tmp_path, BOXES)))[0].sum() == 8
    images(tmp_path, image(plain, f'<polygon label="car" {SQUARE}/>'))
    sample = one(CvatReader(tmp_path))
    assert len(sample.objects) == 1
    assert reasons(sample) == ["box-only"]
    assert len(one(CvatReader(tmp_path, BOXES)).objects) == 2


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<polygon label="a" points="1,1;2,2"/>', "not-a-polygon"),
        ('<polygon label="a" points="1,1;2,x;3,3"/>', "not-a-polygon"),
        ('<polygon label="a" points="1,1;nan,2;3,3"/>', "not-a-polygon"),
        ('<polygon label="a" points="1,1;2,2;3"/>', "not-a-polygon"),
        ('<polygon label="a"/>', "not-a-polygon"),
        ('<polygon points="1,1;5,1;5,4"/>', "no-label"),
        ('<box label="a" xtl="5" ytl="1" xbr="3" ybr="2" rotation="1"/>', "not-a-box"),
        ('<box label="a" xtl="1" ytl="1" xbr="inf" ybr="2" rotation="1"/>', "not-numbers"),
        ('<box label="a" xtl="1" ytl="1" xbr="3" ybr="2" rotation="nan"/>', "not-numbers"),
        ('<ellipse label="a" cx="1" cy="1" rx="0" ry="2"/>', "not-an-ellipse"),
    ],
)
def test_shapes_that_are_none_are_told(tmp_path: Path, shape: str, reason: str) -> None:
    images(tmp_path, image(shape, '<ellipse label="b" cx="5" cy="5" rx="3" ry="2"/>'))
    sample = one(CvatReader(tmp_path))
    assert reasons(sample) == [reason]
    assert labels(sample) == ["b"]


def test_subsets_are_splits_and_one_name_in_two_is_two_images(tmp_path: Path) -> None:
    images(
        tmp_path,
        image(f'<polygon label="a" {SQUARE}/>', more='subset="Train"'),
        image(more='subset="Validation"'),
        image(more='subset="batch 1"'),
        image(more='subset="batch 2"'),
    )
    picture(tmp_path / "images/Train/a.jpg", 20, 10)
    picture(tmp_path / "images/Validation/a.jpg", 20, 10)
    samples = read(CvatReader(tmp_path))
    assert list(samples) == ["train:a.jpg", "val:a.jpg", "batch 1/a.jpg", "batch 2/a.jpg"]
    assert samples["train:a.jpg"].image.path == str(tmp_path / "images/Train/a.jpg")
    assert samples["val:a.jpg"].image.path == str(tmp_path / "images/Validation/a.jpg")
    assert len(samples["train:a.jpg"].objects) == 1


def test_names_with_folders_spaces_dots_and_letters_of_all_kinds(tmp_path: Path) -> None:
    names = [
        "day 1/a.b.c.JPG",
        "Größe/日本.jpg",
        "x &amp; &quot;y&quot; &#228;.jpg",
        "/share/z.jpg",
        "w\\v.jpg",
        "a>b.jpg",
    ]
    images(tmp_path, *(image(name=name) for name in names))
    picture(tmp_path / "images/day 1/a.b.c.JPG", 20, 10)
    samples = read(CvatReader(tmp_path))
    assert set(samples) == {"day 1/a.b.c.JPG", "Größe/日本.jpg", 'x & "y" ä.jpg', "share/z.jpg", "w/v.jpg", "a>b.jpg"}
    assert samples["day 1/a.b.c.JPG"].image.path is not None
    assert samples["share/z.jpg"].image.path is None


@pytest.mark.parametrize("name", ["../../etc/x.jpg", "C:\\x.jpg", ""])
def test_a_name_that_leaves_the_folder_is_refused_and_its_objects_counted(tmp_path: Path, name: str) -> None:
    images(
        tmp_path / "cvat", image(f'<polygon label="a" {SQUARE}/>', name=name), image(f'<polygon label="a" {SQUARE}/>')
    )
    ledger = convert("cvat", tmp_path / "cvat", out=tmp_path / "out", images="none", split="train", jobs=1).ledger
    assert (ledger.objects_read, ledger.skips["image-bad-name"].count) == (2, 1)
    assert "leads out" in ledger.image_skips["bad-name"].places[0][1]


def test_the_same_name_twice_stays_two_images(tmp_path: Path) -> None:
    images(tmp_path, image(f'<polygon label="a" {SQUARE}/>'), image())
    scan = CvatReader(tmp_path).scan()
    assert [handle.name for handle in scan.handles] == ["a.jpg", "a_2.jpg"]
    assert kinds(scan) == ["image-named-twice"]


def test_labels_in_their_order_with_colours(tmp_path: Path) -> None:
    meta = (
        "<task><labels><label><name>van</name><color>#ff0080</color></label><label><name>car</name></label>"
        "<label><name>nose</name><parent>person</parent></label></labels></task>"
    )
    images(tmp_path, image(), meta=meta)
    classes = CvatReader(tmp_path).scan().classes
    assert classes.names == ("van", "car")
    assert classes[0].color == (255, 0, 128)


def test_labels_without_area_are_no_classes(tmp_path: Path) -> None:
    kinds_of = ("tag", "points", "skeleton", "polygon", "any")
    meta = "".join(f"<label><name>{kind}</name><type>{kind}</type></label>" for kind in kinds_of)
    images(tmp_path, image(), meta=f"<task><labels>{meta}</labels></task>")
    assert CvatReader(tmp_path).scan().classes.names == ("polygon", "any")


def test_a_photo_turned_by_exif(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.jpg", 20, 10, orientation=6)
    images(tmp_path, image(f'<polygon label="a" {SQUARE}/>', size=(10, 20)))
    sample = one(CvatReader(tmp_path))
    assert (sample.image.width, sample.image.height) == (10, 20)
    assert sample.objects[0].shape == Polygons([[1, 1, 5, 1, 5, 4, 1, 4]])
    images(tmp_path, image(f'<polygon label="a" {SQUARE}/>', size=(20, 10)))
    sample = one(CvatReader(tmp_path))
    assert sample.objects[0].shape == Polygons([[9, 1, 9, 5, 6, 5, 6, 1]])
    assert kinds(sample) == ["coordinates-turned"]


def test_comments_and_literal_text_are_no_images(tmp_path: Path) -> None:
    images(tmp_path, "<!-- <image name='b.jpg'> -->", image(), "<![CDATA[<image name='c.jpg'>]]>")
    assert list(read(CvatReader(tmp_path))) == ["a.jpg"]


def test_other_encodings(tmp_path: Path) -> None:
    text = image(name="grün.jpg")
    path = images(tmp_path, text)
    path.write_bytes(f'<?xml version="1.0" encoding="latin-1"?><annotations>{text}</annotations>'.encode("latin-1"))
    assert list(read(CvatReader(tmp_path))) == ["grün.jpg"]
    path.write_bytes(path.read_text("latin-1").encode("utf-16"))
    with pytest.raises(DataError, match="UTF-16"):
        CvatReader(path).scan()


@pytest.mark.parametrize("end", ["", "<image name='b'", "<image name='b.jpg'><polygon", "<track label='a'>", "<!-- a"])
def test_a_file_that_is_cut_off(tmp_path: Path, end: str) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(f"<annotations>{image()}{end}")
    with pytest.raises(DataError, match="no end"):
        CvatReader(tmp_path).scan()


def test_several_workers_read_what_one_reads(tmp_path: Path) -> None:
    shape = '<polygon label="car" points="{0},1;9,1;9,9;{0},9"></polygon>'
    images(tmp_path / "cvat", *(image(shape.format(n % 5), name=f"{n:04d}.jpg") for n in range(1000)))
    for jobs in (1, 2):
        out = tmp_path / f"coco{jobs}"
        convert("cvat", tmp_path / "cvat", out=out, images="none", split="train", validate=False, jobs=jobs)
    one_worker, two = (tmp_path / f"coco{jobs}/annotations/instances_train2017.json" for jobs in (1, 2))
    assert two.read_bytes() == one_worker.read_bytes()


def test_tracks_frame_by_frame_without_what_is_outside(tmp_path: Path) -> None:
    video(
        tmp_path,
        track(box(0, 1), box(1, 2, keyframe=0), box(2, 3, outside=1), box(4, 8)),
        track(box(1, 10), box(2, 10, outside=1), label="van"),
    )
    samples = read(CvatReader(tmp_path, BOXES))
    assert list(samples) == ["frame_000000.png", "frame_000001.png", "frame_000004.png"]
    assert labels(samples["frame_000001.png"]) == ["car", "van"]
    assert samples["frame_000001.png"].objects[0].shape.parts[0][:2] == [2, 1]
    assert (samples["frame_000004.png"].image.width, samples["frame_000004.png"].image.height) == (20, 10)


def test_between_key_frames_nothing_is_made_up_unless_asked(tmp_path: Path) -> None:
    video(tmp_path, track(box(0, 0), box(4, 8, more='rotation="350"'), box(6, 8, outside=1)))
    scan = CvatReader(tmp_path, BOXES).scan()
    assert [handle.name for handle in scan.handles] == ["frame_000000.png", "frame_000004.png"]
    assert [(note.kind, note.count) for note in scan.notes] == [("frames-between-key-frames-empty", 4)]
    samples = read(CvatReader(tmp_path, CvatOptions(interpolate=True, boxes="as-polygons")))
    assert len(samples) == 6
    parts = [sample.objects[0].shape.parts[0] for sample in samples.values()]
    centres = [(part[0] + part[4]) / 2 for part in parts]
    assert np.allclose(centres, [2, 4, 6, 8, 10, 10])
    # From 0 to 350 degrees is ten degrees back, not 350 on.
    assert parts[2][1] > parts[2][3]


def test_dense_exports_are_never_filled(tmp_path: Path) -> None:
    video(tmp_path, track(box(0, 0), box(1, 2, keyframe=0), box(4, 8)))
    scan = CvatReader(tmp_path, CvatOptions(interpolate=True)).scan()
    assert [handle.name for handle in scan.handles] == ["frame_000000.png", "frame_000001.png", "frame_000004.png"]
    assert not scan.notes


def test_polygons_move_masks_stay(tmp_path: Path) -> None:
    def polygon(frame: int, points: str) -> str:
        return f'<polygon frame="{frame}" outside="0" keyframe="1" points="{points}"></polygon>'

    def mask(frame: int, left: int) -> str:
        window = f'rle="0, 4" left="{left}" top="0" width="2" height="2"'
        return f'<mask frame="{frame}" outside="0" keyframe="1" {window}></mask>'

    video(
        tmp_path,
        track(polygon(0, "0,0;4,0;4,4"), polygon(2, "2,2;6,2;6,6")),
        track(mask(0, 10), mask(2, 14), label="van"),
        track(polygon(0, "0,0;4,0;4,4"), polygon(2, "2,2;6,2;6,6;2,6"), label="bus"),
    )
    sample = read(CvatReader(tmp_path, CvatOptions(interpolate=True)))["frame_000001.png"]
    assert sample.objects[0].shape == Polygons([[1, 1, 5, 1, 5, 5]])
    assert masks(sample)[1][:2, 10:12].all()
    assert sample.objects[2].shape == Polygons([[0, 0, 4, 0, 4, 4]])


def test_frames_step_as_the_task_says(tmp_path: Path) -> None:
    task = "<start_frame>10</start_frame><stop_frame>19</stop_frame><frame_filter>step=3</frame_filter>"
    video(tmp_path, track(box(10, 0), box(16, 6)), task=task)
    samples = read(CvatReader(tmp_path, CvatOptions(interpolate=True, boxes="as-polygons")))
    assert list(samples) == ["frame_000010.png", "frame_000013.png", "frame_000016.png"]


def test_images_of_frames_and_empty_frames(tmp_path: Path) -> None:
    video(tmp_path, track(box(1, 1)))
    for frame in (0, 1):
        picture(tmp_path / f"images/frame_{frame:06d}.PNG", 20, 10)
    samples = read(CvatReader(tmp_path, BOXES))
    assert list(samples) == ["frame_000000.PNG", "frame_000001.PNG"]
    assert not samples["frame_000000.PNG"].objects
    assert samples["frame_000001.PNG"].image.path == str(tmp_path / "images/frame_000001.PNG")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five frames, each brighter than the one before."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (20, 10))
    for frame in range(5):
        writer.write(np.full((10, 20, 3), 40 * frame, np.uint8))
    writer.release()
    return path


def test_frames_out_of_the_video(tmp_path: Path, clip: Path) -> None:
    video(tmp_path, track(box(1, 1), box(3, 3)), task="<start_frame>0</start_frame><stop_frame>4</stop_frame>")
    reader = CvatReader(tmp_path, CvatOptions(video=clip, boxes="as-polygons"))
    handles = list(reader.scan().handles)
    assert [handle.name for handle in handles] == [f"frame_{frame:06d}.png" for frame in range(5)]
    reader = pickle.loads(pickle.dumps(reader))
    for frame in (3, 0, 4):  # in no order: the video is read from its beginning again
        data = reader.read(handles[frame]).image.data
        assert data is not None
        shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape == (10, 20, 3)
        assert abs(int(shown.mean()) - 40 * frame) < 5


def test_a_video_that_is_none(tmp_path: Path) -> None:
    video(tmp_path, track(box(1, 1)))
    with pytest.raises(UsageError, match="--video"):
        CvatReader(tmp_path, CvatOptions(video=tmp_path / "none.mp4")).scan()
    (tmp_path / "none.mp4").write_bytes(b"no video")
    reader = CvatReader(tmp_path, CvatOptions(video=tmp_path / "none.mp4"))
    with pytest.raises(DataError, match="cannot be opened"):
        reader.read(reader.scan().handles[0])


def test_tracks_of_several_tasks(tmp_path: Path) -> None:
    tasks = "".join(
        f"<task><id>{number}</id><name>clip {number}</name><subset>{subset}</subset><original_size><width>20</width>"
        "<height>10</height></original_size></task>"
        for number, subset in ((1, "Train"), (2, "Test"))
    )
    polygon = f'<polygon frame="0" outside="0" keyframe="1" {SQUARE}></polygon>'
    images(
        tmp_path,
        track(polygon, more='task_id="1"'),
        track(polygon, label="van", more='task_id="2"'),
        meta=f"<project><tasks>{tasks}</tasks></project>",
    )
    samples = read(CvatReader(tmp_path))
    assert list(samples) == ["train:clip 1/frame_000000.png", "test:clip 2/frame_000000.png"]
    assert labels(samples["test:clip 2/frame_000000.png"]) == ["van"]


@pytest.mark.parametrize("group", ["", 'group_id="7"'])
def test_tracks_of_a_group(tmp_path: Path, group: Optional[str]) -> None:
    polygon = f'<polygon frame="0" outside="0" keyframe="1" {SQUARE}></polygon>'
    video(tmp_path, track(polygon, more=group), track(polygon, more=group))
    assert len(one(CvatReader(tmp_path)).objects) == (1 if group else 2)


@pytest.mark.parametrize("content", ["", "<!DOCTYPE html><html></html>", "<annotation><object/></annotation>"])
def test_xml_that_is_not_cvats_is_named(tmp_path: Path, content: str) -> None:
    images(tmp_path, image(f"<polygon {SQUARE}></polygon>"))
    (tmp_path / "more.xml").write_text(content)
    notes = CvatReader(tmp_path).scan().notes
    assert [(note.kind, note.place) for note in notes] == [("xml-not-read", str(tmp_path / "more.xml"))]


def test_datumaros_project(shared: Path) -> None:
    samples = read(CvatReader(shared / "corpora/cvat-xml__datumaro__for_images/export_project", BOXES))
    assert list(samples) == [f"{split}:img{number}.jpg" for split in ("train", "val", "test") for number in (0, 1)]
    first = samples["train:img0.jpg"]
    assert first.objects[0].shape == Polygons([[0, 2, 4, 2, 4, 4, 0, 4]])
    assert first.objects[0].attributes == {"a1": True, "a2": "v3", "a3": "0003", "a4": "2.4", "occluded": True}
    assert samples["train:img1.jpg"].objects[0].shape == Polygons([[1, 2, 3, 4, 6, 5]])


def test_datumaros_video(shared: Path) -> None:
    samples = read(CvatReader(shared / "corpora/cvat-xml__datumaro__for_video", BOXES))
    assert {name: labels(sample) for name, sample in samples.items()} == {
        "frame_000010.png": ["II"],
        "frame_000013.png": [],
        "frame_000016.png": [],
    }


def test_coral(shared: Path) -> None:
    reader = CvatReader(shared / "corpora/cvat-xml__Coral-Imaging__coral")
    assert len(reader.scan().classes) == 11
    samples = read(reader)
    assert len(samples) == 5
    assert [len(sample.objects) for sample in samples.values()] == [1, 0, 0, 0, 0]
    assert "01_Recruit symbiotic & CCA alive Tray1_Row_CDE_05_20230223-Annotated.jpg" in samples
