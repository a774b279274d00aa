"""Made-up palms from `volar-synth stream`, normalised as the capture pipeline normalises real ones."""

import queue
import subprocess
import threading
from pathlib import Path

import cv2
import numpy as np

# The program that the workspace builds.
SYNTH = Path(__file__).resolve().parents[2] / "target/release/volar-synth"

SIDE = 96
# Pixels around the crop, mirrored, so that filters fit at its edge.
MARGIN = 12
INPUT_SIDE = SIDE + 2 * MARGIN
# Local normalisation, as shares of the side and of the picture's own spread.
MEAN_SIGMA = 0.06 * SIDE
CONTRAST_SIGMA = 0.09 * SIDE
CONTRAST_FLOOR = 0.25
CLIP = 3.0


def blur(picture, sigma):
    side = 2 * round(3 * sigma) + 1
    return cv2.GaussianBlur(picture, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)


def normalize(crop):
    """Takes the light away: local mean 0, local standard deviation about 1, clipped; with mirrored margins, float32.
    palm/src/palm_lines.rs takes the same steps."""
    detail = crop.astype(np.float32)
    detail -= blur(detail, MEAN_SIGMA)
    square = detail * detail
    floor = CONTRAST_FLOOR * max(float(square.mean()) ** 0.5, 1e-3)
    deviation = np.sqrt(blur(square, CONTRAST_SIGMA))
    values = np.clip(detail / np.maximum(deviation, floor), -CLIP, CLIP)
    return cv2.copyMakeBorder(values, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REFLECT_101)


# Turns of a palm, in degrees, of which the network is asked and the mean taken.
TURNS = (-5.0, 5.0)
# Pixels around a crop that a turn may reach: a region of interest's margin.
REACH = 9


def turned(region, degrees):
    """The middle SIDE x SIDE of a region with REACH pixels around them, turned about the centre."""
    sine, cosine = np.sin(np.float32(np.radians(degrees))), np.cos(np.float32(np.radians(degrees)))
    at = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    y, x = np.meshgrid(at, at, indexing="ij")
    centre = np.float32((len(region) - 1) / 2)
    from_x, from_y = cosine * x - sine * y + centre, sine * x + cosine * y + centre
    left, top = from_x.astype(int), from_y.astype(int)
    right_share, lower_share = from_x - left, from_y - top
    grey = region.astype(np.float32)
    upper = grey[top, left] * (1 - right_share) + grey[top, left + 1] * right_share
    lower = grey[top + 1, left] * (1 - right_share) + grey[top + 1, left + 1] * right_share
    return upper * (1 - lower_share) + lower * lower_share


def looks(region):
    """What the network is shown of a region of interest of 114 x 114: (turns, 1, input side, input side).
    palm/src/palm_lines.rs shows it the same."""
    return np.stack([normalize(turned(region, degrees))[None] for degrees in TURNS])


def looks_of_crop(crop):
    """The same of a crop without its surroundings, mirrored."""
    return looks(cv2.copyMakeBorder(crop, REACH, REACH, REACH, REACH, cv2.BORDER_REFLECT_101))


def ways(palm):
    """Which of eight ways a palm lies: turned by quarters, mirrored or not."""
    return (palm * 2654435761 >> 8) % 8


def lying(crop, palm):
    """The crop turned and mirrored in the way that belongs to its palm."""
    way = ways(palm)
    turned = np.rot90(crop, way % 4)
    return np.ascontiguousarray(turned[:, ::-1] if way >= 4 else turned)


def made_up(program, palms, seed, count):
    """Crops as they are, and their palms' numbers."""
    command = [program, "stream", "--palms", palms, "--seed", seed, "--side", SIDE, "--crops", count]
    made = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True).stdout
    records = np.frombuffer(made, np.uint8).reshape(-1, 4 + SIDE * SIDE)
    numbers = records[:, :4].copy().view("<u4")[:, 0].astype(np.int64)
    return [lying(pixels.reshape(SIDE, SIDE), int(palm)) for pixels, palm in zip(records[:, 4:], numbers)], numbers


class Stream:
    """Endless batches of (normalised crops, palms' numbers from 0).

    Data sets cut palms with the fingers up, left or right, and show left hands mirrored or not: each palm lies in one of
    eight ways of its own, so that the network reads palms whichever way they lie.
    """

    def __init__(self, program, palms, seed, first, batch, threads=1):
        self.batch = batch
        self.record = 4 + SIDE * SIDE
        command = [program, "stream", "--palms", palms, "--seed", seed, "--first", first, "--side", SIDE]
        command += ["--threads", threads]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE)
        self.batches = queue.Queue(maxsize=8)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while len(data := self.process.stdout.read(self.record * self.batch)) == self.record * self.batch:
            records = np.frombuffer(data, np.uint8).reshape(-1, self.record)
            palms = records[:, :4].copy().view("<u4")[:, 0].astype(np.int64)
            pictures = np.empty((len(palms), 1, INPUT_SIDE, INPUT_SIDE), np.float32)
            for picture, pixels, palm in zip(pictures, records[:, 4:], palms):
                picture[0] = normalize(lying(pixels.reshape(SIDE, SIDE), int(palm)))
            self.batches.put((pictures, palms))

    def __next__(self):
        return self.batches.get()

    def close(self):
        self.process.kill()
