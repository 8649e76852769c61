"""Independent decoder of recordings: fitdecode for FIT, Python's own csv and xml for the others.

Reads lines of JSON {"name", "kind", "data" (base64)}; prints for each {"name", "rows": [[seconds, bpm or null, [rr in ms]]], "error"}:
rows in order of time (rows of one time in file order), and everything that precedes an error.
"""

import base64
import csv
import datetime
import io
import json
import sys
import warnings
import xml.etree.ElementTree as ElementTree

import fitdecode

RECORD, HRV, HR, MONITORING, MONITORING_INFO = 20, 78, 132, 55, 103


def raw(frame, number):
    """As it stands in the file; fields without a definition are computed, except the time of a compressed header."""
    for field in frame.fields:
        is_dev = field.field_def is not None and field.field_def.is_dev
        is_computed = field.field_def is None and number != 253
        if not is_dev and not is_computed and field.def_num == number:
            return field.raw_value
    return None


def developer_rate(frame):
    for field in frame.fields:
        if field.field_def is not None and field.field_def.is_dev and field.field_def.field is not None:
            if getattr(field.field_def.field, "native_field_num", None) == 3 and field.raw_value is not None:
                return field.raw_value
    return None


def first(value):
    return value[0] if isinstance(value, (tuple, list)) else value


def many(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


class Beats:
    """Beats of hr messages; the 12-bit counts are unpacked as one little-endian number."""

    def __init__(self):
        self.anchor = None
        self.last = None

    def rows(self, frame):
        rates = many(raw(frame, 6))
        events = [event for event in many(raw(frame, 9)) if event is not None]
        timestamp = raw(frame, 253)
        if timestamp is not None and events:
            self.anchor = (timestamp + (raw(frame, 0) or 0) / 32768, events[0])
        pairs = list(zip(events, rates))
        packed = raw(frame, 10)
        if packed is not None:
            number = int.from_bytes(bytes(packed), "little")
            last = self.last
            for index, rate in enumerate(rates):
                low = (number >> (12 * index)) & 0xFFF
                count = (last & ~0xFFF) | low
                if count < last:
                    count += 0x1000
                last = count
                pairs.append((count, rate))
        for count, rate in pairs:
            step = None if self.last is None else (count - self.last) % 2**32
            if step == 0 and not rate:
                continue
            self.last = count
            intervals = [step * 1000 / 1024] if step is not None and 0 < step < 4096 else []
            yield [self.anchor[0] + ((count - self.anchor[1]) % 2**32) / 1024, rate, intervals]


def fit(data):
    rows, pending, beats, monitoring = [], [], Beats(), None
    error = None
    reader = fitdecode.FitReader(io.BytesIO(data), check_crc=fitdecode.CrcCheck.DISABLED, processor=None)
    try:
        for frame in reader:
            if frame.frame_type == fitdecode.FIT_FRAME_HEADER:
                beats, monitoring = Beats(), None
            if frame.frame_type != fitdecode.FIT_FRAME_DATA:
                continue
            number = frame.global_mesg_num
            if number == HRV:
                pending += [round(value) for value in many(raw(frame, 0)) if value is not None]
            elif number == RECORD:
                rate = first(raw(frame, 3))
                if rate is None:
                    rate = developer_rate(frame)
                if raw(frame, 253) is not None:
                    rows.append([raw(frame, 253), rate, pending])
                    pending = []
            elif number == HR:
                rows += list(beats.rows(frame))
            elif number in (MONITORING, MONITORING_INFO):
                low = raw(frame, 26)
                if raw(frame, 253) is not None:
                    monitoring = raw(frame, 253)
                elif low is not None:
                    monitoring += (low - monitoring) % 65536
                if number == MONITORING and raw(frame, 27) is not None:
                    rows.append([monitoring, raw(frame, 27), []])
    except Exception as exception:
        error = repr(exception)
    if pending and rows:
        rows.append([rows[-1][0], None, pending])
    return rows, error


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def table(data):
    text = data.decode("utf-8-sig")
    dialect = csv.Sniffer().sniff(text.splitlines()[0], delimiters=",;\t")
    rows = []
    for row in csv.DictReader(io.StringIO(text), dialect=dialect):
        rate = row["heart_rate"].replace(",", ".")
        intervals = [float(part.replace(",", ".")) for part in (row["rr_ms"] or "").split()]
        rows.append([seconds(row["timestamp"]), round(float(rate)) if rate else None, intervals])
    return rows, None


def points(data):
    rows = []
    for element in ElementTree.fromstring(data).iter():
        if element.tag.split("}")[1] not in ("Trackpoint", "trkpt"):
            continue
        time, rate, intervals = None, None, []
        for child in element.iter():
            name = child.tag.split("}")[1]
            if name in ("Time", "time"):
                time = seconds(child.text)
            elif name in ("Value", "hr"):
                rate = int(child.text)
            elif name == "RRIntervalsMs":
                intervals = [float(part) for part in child.text.split()]
        rows.append([time, rate, intervals])
    return rows, None


def lines(data):
    rows = []
    for line in data.splitlines():
        reading = json.loads(line)
        rows.append([seconds(reading["timestamp"]), reading["heart_rate"], reading["rr_intervals_ms"]])
    return rows, None


KINDS = {"fit": fit, "csv": table, "tcx": points, "gpx": points, "jsonl": lines}

warnings.simplefilter("ignore")
for line in sys.stdin:
    case = json.loads(line)
    rows, error = KINDS[case["kind"]](base64.b64decode(case["data"]))
    rows.sort(key=lambda row: row[0])
    print(json.dumps({"name": case["name"], "rows": rows, "error": error}))
