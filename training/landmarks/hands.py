"""Views of made-up hands: layers from `volar-synth hands`, laid over made-up backgrounds as a camera might see them."""

import functools
import math
import subprocess

import cv2
import numpy as np

cv2.setNumThreads(1)

LAYER_SKIN = 85.0  # byte of flat skin in usual light: synth/src/layer.rs
NUMBERS = 22  # landmarks of a layer
# The palm square, as palm/src/parameters.rs has it.
SQUARE_SIDE, SQUARE_GAP, CENTRE_WEIGHT, MIDDLE_VALLEY_WEIGHT = 1.5, 0.2, 0.25, 0.5

FINDER_SIDE = 128  # the finder's picture: the whole frame
LANDMARK_SIDE = 112  # the landmark networks': the palm with its surroundings
# How many palm squares that is across, and how often it lies as far askew as the finder may leave it; otherwise as a look
# before does.
LOOKS = {"landmarks": (2.2, 0.5), "close-landmarks": (1.75, 0.12)}
# Points: index-middle, middle-ring, ring-little valley; the square's corners (little and thumb side at the fingers,
# thumb and little side at the wrist); the palm's centre.
POINTS = 8


class Pool:
    """Layers held in memory."""

    def __init__(self, path):
        data = np.memmap(path, np.uint8, "r")
        self.width, self.height = (int(n) for n in data[:8].view("<u4"))
        texels = self.width * self.height
        record = 8 + 4 * NUMBERS + 2 * texels
        self.records = data[: len(data) // record * record].reshape(-1, record)
        self.texels = texels

    def __len__(self):
        return len(self.records)

    def __getitem__(self, number):
        record = self.records[number]
        landmarks = record[8 : 8 + 4 * NUMBERS].copy().view("<f4")
        planes = record[8 + 4 * NUMBERS :].reshape(2, self.height, self.width)
        return planes[0], planes[1], landmarks


def render(program, path, hands, seed, threads):
    """Renders a pool once."""
    if not path.exists():
        part = path.with_suffix(".part")
        command = [program, "hands", "--hands", hands, "--poses", 8, "--seed", seed, "--threads", threads]
        with open(part, "wb") as file:
            subprocess.run([str(word) for word in command], stdout=file, check=True)
        part.rename(path)


def square_below(valleys, centre, unit):
    """Corners of the palm square of a right hand with the fingers up: the same steps as palm/src/square.rs."""
    index_middle, middle_ring, ring_little = valleys
    across = (ring_little - index_middle) / np.linalg.norm(ring_little - index_middle)
    normal = np.array([-across[1], across[0]])
    wrist = normal if normal @ (centre - index_middle) >= 0 else -normal
    to_centre = (centre - middle_ring) / np.linalg.norm(centre - middle_ring)
    wrist = wrist * (1 - CENTRE_WEIGHT) + to_centre * CENTRE_WEIGHT
    wrist /= np.linalg.norm(wrist)
    turned = np.array([-wrist[1], wrist[0]])
    thumb = turned if turned @ across < 0 else -turned
    line_middle = (index_middle + ring_little) / 2
    aside = thumb @ (middle_ring - line_middle) * MIDDLE_VALLEY_WEIGHT
    middle = line_middle + thumb * aside + wrist * (SQUARE_GAP * unit)
    side = SQUARE_SIDE * unit
    corner = middle - thumb * side / 2
    return np.array([corner, corner + thumb * side, corner + (thumb + wrist) * side, corner + wrist * side])


def applied(matrix, points):
    moved = np.c_[points, np.ones(len(points))] @ matrix.T
    return moved[:, :2] / moved[:, 2:]


@functools.lru_cache
def places(width, height):
    """Columns and rows as shares of the picture."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return x / width, y / height


@functools.lru_cache
def grain():
    return np.random.default_rng(0).normal(0, 1, 1 << 18).astype(np.float32)


def quadrilateral(corners):
    """Area."""
    (a, b), (c, d) = corners[2] - corners[0], corners[3] - corners[1]
    return abs(a * d - b * c) / 2


class Hand:
    """A layer with what a camera's position does to it, up to where it lies in the picture."""

    def __init__(self, pool, dice, tilt=None):
        light, coverage, numbers = pool[dice.integers(len(pool))]
        # The forearm goes on below the layer; some pictures end it at the wrist.
        below = 160 if dice.random() < 0.85 else 0
        self.light = cv2.copyMakeBorder(light, 0, below, 0, 0, cv2.BORDER_REPLICATE)
        self.coverage = cv2.copyMakeBorder(coverage, 0, below, 0, 0, cv2.BORDER_REPLICATE)
        points = numbers[:20].reshape(10, 2).astype(np.float64)
        self.texel_points = points
        if dice.random() < 0.15:
            self.cover_wrist(dice, points)
        stretch = np.array([dice.uniform(0.9, 1.1), dice.uniform(0.9, 1.1)])
        valleys, centre = points[6:9] * stretch, points[9] * stretch
        unit = math.sqrt(numbers[20] * numbers[21] / 2 * math.sqrt(stretch[0] * stretch[1]) * stretch[0])
        corners = square_below(valleys, centre, unit)
        self.side = SQUARE_SIDE * unit
        middle = corners.mean(0)
        plane = np.array([[stretch[0], 0, -middle[0]], [0, stretch[1], -middle[1]], [0, 0, 1]])
        if tilt is None:
            limit = 40 if dice.random() < 0.12 else 25
            tilt = np.clip(dice.normal(0, 9, 2), -limit, limit) if dice.random() < 0.6 else dice.uniform(-limit, limit, 2)
        a, b = np.radians(tilt)
        about_x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
        about_y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
        turn = about_y @ about_x
        away = self.side * dice.uniform(3.5, 12)
        tilted = np.array([[*turn[0, :2], 0], [*turn[1, :2], 0], [*(turn[2, :2] / away), 1]])
        mirror = np.diag([-1.0 if dice.random() < 0.5 else 1.0, 1, 1])
        self.from_texels = mirror @ tilted @ plane
        self.points = applied(mirror @ tilted, np.r_[valleys, corners, [centre]] - middle)
        self.tips = applied(self.from_texels, points[:5])

    def cover_wrist(self, dice, points):
        """A watch or a cuff."""
        top = int(points[9][1] + dice.uniform(58, 80))
        band = slice(top, top + int(dice.uniform(6, 30)))
        grey = dice.uniform(5, 220)
        self.light[band] = self.coverage[band] / 255.0 * grey

    def shape_fist(self, dice):
        """Takes the fingers away, or all of them but some: no open hand any more."""
        valley = int(self.texel_points[6:9, 1].mean() + dice.uniform(-12, 10))
        left, right = np.sort(dice.uniform(0, self.coverage.shape[1], 2)).astype(int)
        keep = self.coverage[:valley].copy(), self.light[:valley].copy()
        self.coverage[:valley], self.light[:valley] = 0, 0
        if dice.random() < 0.4:
            right = min(right, left + 30)
            self.coverage[:valley, left:right], self.light[:valley, left:right] = keep[0][:, left:right], keep[1][:, left:right]
        elif dice.random() < 0.5:
            centre = (int(self.texel_points[6:9, 0].mean()), valley + 6)
            axes = (int(dice.uniform(25, 34)), int(dice.uniform(10, 26)))
            for plane, value in ((self.coverage, 255), (self.light, int(dice.uniform(50, 90)))):
                cv2.ellipse(plane, centre, axes, 0, 180, 360, value, -1)
                for i in range(-2, 3):
                    if value < 255:
                        cv2.line(plane, (centre[0] + 12 * i, centre[1] - axes[1]), (centre[0] + 12 * i, centre[1] + 10), 30, 1)

    def placed(self, degrees, side, middle):
        """Matrices into a picture where the palm square's side is `side` pixels long and its middle at `middle`."""
        turn, size = math.radians(degrees), side / self.side
        cosine, sine = size * math.cos(turn), size * math.sin(turn)
        return np.array([[cosine, -sine, middle[0]], [sine, cosine, middle[1]], [0, 0, 1]])


class Backgrounds:
    """What may be behind a hand."""

    def __init__(self, seed, count=1500, side=192):
        dice = np.random.default_rng(seed)
        self.side = side
        self.pictures = np.stack([self.make(dice, side) for _ in range(count)])

    @staticmethod
    def make(dice, side):
        kind = dice.random()
        base = dice.uniform(0, 40) if dice.random() < 0.4 else dice.uniform(0, 255)
        picture = np.full((side, side), base, np.float32)
        y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
        if dice.random() < 0.5:
            way = dice.uniform(0, 2 * math.pi)
            picture += dice.uniform(0, 120) * (x * math.cos(way) + y * math.sin(way))
        if kind < 0.3:
            return np.clip(picture, 0, 255).astype(np.uint8)
        if dice.random() < 0.7:
            for cells in (3, 6, 12, 24, 48, 96):
                if dice.random() < 0.5:
                    noise = dice.normal(0, 1, (cells, cells)).astype(np.float32)
                    picture += dice.exponential(14) * cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
        if dice.random() < 0.25:
            way, waves = dice.uniform(0, math.pi), dice.uniform(3, 60)
            picture += dice.uniform(3, 50) * np.sin(2 * math.pi * waves * (x * math.cos(way) + y * math.sin(way)))
        if kind > 0.5:
            for _ in range(dice.integers(1, 22)):
                Backgrounds.draw(dice, picture, side)
        if dice.random() < 0.5:
            picture = cv2.GaussianBlur(picture, (0, 0), dice.uniform(0.4, 4))
        return np.clip(picture, 0, 255).astype(np.uint8)

    @staticmethod
    def draw(dice, picture, side):
        grey, kind = float(dice.uniform(0, 255)), dice.integers(6)
        at = tuple(int(n) for n in dice.uniform(-0.1, 1.1, 2) * side)
        to = tuple(int(n) for n in dice.uniform(-0.1, 1.1, 2) * side)
        size = int(dice.exponential(0.12) * side) + 2
        if kind == 0:
            cv2.circle(picture, at, size, grey, -1 if dice.random() < 0.7 else 2)
        elif kind == 1:
            axes = (size, int(size * dice.uniform(0.2, 1)) + 1)
            cv2.ellipse(picture, at, axes, float(dice.uniform(0, 360)), 0, 360, grey, -1)
        elif kind == 2:
            cv2.rectangle(picture, at, to, grey, -1 if dice.random() < 0.4 else 2)
        elif kind == 3:
            cv2.line(picture, at, to, grey, int(dice.exponential(6)) + 1)
        elif kind == 4:
            corners = np.array(at) + dice.normal(0, size, (dice.integers(3, 8), 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], grey)
        else:
            text = "".join(chr(n) for n in dice.integers(48, 122, 5))
            ink = np.zeros(picture.shape, np.uint8)
            cv2.putText(ink, text, at, 0, float(dice.uniform(0.3, 1.6)), 255, int(dice.integers(1, 4)))
            picture[ink > 127] = grey

    def __call__(self, dice, width, height):
        """A picture of `width` x `height` with something in it."""
        picture = self.pictures[dice.integers(len(self.pictures))]
        size = max(width, height) / self.side * dice.uniform(1.0, 2.2)
        turn = dice.uniform(0, 2 * math.pi)
        cosine, sine = size * math.cos(turn), size * math.sin(turn)
        half = self.side / 2
        matrix = np.float32([[cosine, -sine, width / 2 - cosine * half + sine * half],
                             [sine, cosine, height / 2 - sine * half - cosine * half]])
        return cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT).astype(np.float32)


def lay(picture, hand, matrix, dice, level):
    """Lays `hand` over `picture` in place; `level` is the grey of its skin."""
    height, width = picture.shape
    whole = matrix @ hand.from_texels
    light, coverage = hand.light, hand.coverage
    shrinks = math.sqrt(abs(np.linalg.det(whole[:2, :2])))
    while shrinks < 0.6:
        # Smaller in halves first, which does not alias; a texel's centre moves by a quarter of the larger texel.
        light, coverage = (cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for plane in (light, coverage))
        whole = whole @ np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
        shrinks *= 2
    layers = cv2.warpPerspective(cv2.merge([light, coverage]), whole, (width, height), flags=cv2.INTER_LINEAR)
    covered = layers[..., 1] * np.float32(1 / 255)
    lit = layers[..., 0] * np.float32(1 / LAYER_SKIN)
    if dice.random() < 0.35:
        # The hand's own shadow.
        shift = np.float32([[1, 0, dice.normal(0, 0.06) * width], [0, 1, dice.normal(0, 0.06) * width]])
        shadow = cv2.GaussianBlur(cv2.warpAffine(covered, shift, (width, height)), (0, 0), dice.uniform(0.5, 5))
        picture *= 1 - np.float32(dice.uniform(0, 0.7)) * shadow
    if dice.random() < 0.3:
        lit = covered * np.clip(1 + (lit / np.maximum(covered, 1e-3) - 1) * dice.uniform(0.3, 2.0), 0, 4)
    picture *= 1 - covered
    if dice.random() < 0.3:
        # The palm shines, or is stained, in places.
        x, y = places(width, height)
        spot_x, spot_y = dice.uniform(0, 1, 2)
        across = np.exp(-((x[0] - spot_x) ** 2) / (2 * dice.uniform(0.03, 0.3) ** 2)).astype(np.float32)
        spot = across * np.exp(-((y[:, :1] - spot_y) ** 2) / (2 * dice.uniform(0.03, 0.3) ** 2)).astype(np.float32)
        lit = lit * (1 + dice.uniform(-0.6, 1.5) * spot)
    picture += lit * np.float32(level)


def pegs(picture, hand, matrix, dice, side):
    """Pegs of a hand rest, between the fingers and beside the palm."""
    tips, points = applied(matrix, hand.tips), applied(matrix, hand.points)
    grey, radius = float(dice.uniform(0, 255)), max(1, int(side * dice.uniform(0.05, 0.12)))
    for i, valley in enumerate(points[:3]):
        outwards = (tips[i + 1] + tips[i + 2]) / 2 - valley
        at = valley + outwards * dice.uniform(0.12, 0.4)
        if dice.random() < 0.7:
            cv2.circle(picture, tuple(int(n) for n in at), radius, grey, -1)


def tops(picture, hand, matrix, dice, side):
    """Something over the finger tips, or over a part of them."""
    tips = applied(matrix, hand.tips)
    for tip in tips[dice.random(5) < 0.4]:
        size = int(side * dice.uniform(0.1, 0.35)) + 1
        cv2.circle(picture, tuple(int(n) for n in tip), size, float(dice.uniform(0, 255)), -1)


def face(picture, dice):
    """An oval with dark eyes and a mouth."""
    height, width = picture.shape
    half = np.array([0.75, 1.0]) * dice.uniform(0.12, 0.5) * min(width, height)
    centre, degrees, grey = dice.uniform(0.2, 0.8, 2) * [width, height], float(dice.uniform(-40, 40)), dice.uniform(30, 240)
    turn = math.radians(degrees)

    def ellipse(x, y, rx, ry, level):
        x, y = x * half[0], y * half[1]
        at = centre + [x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)]
        axes = (max(1, int(rx * half[0])), max(1, int(ry * half[1])))
        cv2.ellipse(picture, tuple(int(n) for n in at), axes, degrees, 0, 360, float(level), -1)

    ellipse(0, 0.9, 0.5, 0.6, grey * 0.8)
    ellipse(0, 0, 1, 1, grey)
    if dice.random() < 0.7:
        ellipse(0, -0.75, 0.9, 0.35, grey * dice.uniform(0.1, 0.9))
    for x in (-0.4, 0.4):
        ellipse(x, -0.15, 0.17, 0.07, grey * dice.uniform(0.1, 0.7))
    ellipse(0, 0.25, 0.13, 0.12, grey * dice.uniform(0.7, 1.2))
    ellipse(0, 0.55, 0.35, 0.07, grey * dice.uniform(0.3, 0.9))


def developed(picture, dice):
    """What light, lens, sensor and file format make of a picture; 8 bits."""
    height, width = picture.shape
    if dice.random() < 0.5:
        x, y = places(width, height)
        far = (x - np.float32(dice.uniform(0.2, 0.8))) ** 2 + (y - np.float32(dice.uniform(0.2, 0.8))) ** 2
        picture = picture * np.maximum(1 - np.float32(dice.uniform(-0.4, 1.6)) * far, np.float32(0.1))
    if dice.random() < 0.15:
        # A hard shadow across.
        way, at = dice.uniform(0, 2 * math.pi), dice.uniform(0.2, 0.8)
        x, y = places(width, height)
        beyond = (x - 0.5) * np.float32(math.cos(way)) + (y - 0.5) * np.float32(math.sin(way)) + np.float32(0.5 - at)
        lit = np.clip(beyond * np.float32(dice.uniform(3, 40)) + np.float32(0.5), 0, 1)
        picture = picture * (1 - np.float32(dice.uniform(0, 0.7)) * lit)
    if dice.random() < 0.55:
        picture = cv2.GaussianBlur(picture, (0, 0), dice.uniform(0.3, 1.5))
    if dice.random() < 0.08:
        length = int(dice.integers(2, 6))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(dice.integers(length))), (length - 1, int(dice.integers(length))), 1.0)
        picture = cv2.filter2D(picture, -1, kernel / max(kernel.sum(), 1))
    if dice.random() < 0.5:
        gamma = math.exp(dice.uniform(math.log(0.4), math.log(2.0)))
        cv2.pow(np.clip(picture, 0, 255) / np.float32(255), gamma, picture)
        picture *= np.float32(255)
    start = dice.integers(len(grain()) - picture.size)
    noise = grain()[start : start + picture.size].reshape(picture.shape) * np.float32(dice.exponential(3.0))
    picture = np.clip(picture * np.float32(math.exp(dice.normal(0, 0.25))) + noise, 0, 255).astype(np.uint8)
    if dice.random() < 0.2:
        done, file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(dice.integers(25, 95))])
        picture = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    return picture


def levels(dice):
    """Grey of the skin."""
    return dice.uniform(90, 200) if dice.random() < 0.5 else math.exp(dice.uniform(math.log(18), math.log(330)))


def standardized(picture, inside=None):
    """Mean 0 and standard deviation 1; what lies outside the frame is 0."""
    picture = picture.astype(np.float32)
    seen = picture if inside is None else picture[inside]
    picture = (picture - seen.mean()) / max(float(seen.std()), 2.0)
    if inside is not None:
        picture[~inside] = 0
    return np.clip(picture, -4, 4)


class Views:
    """Pictures with labels for both networks."""

    def __init__(self, pool, seed):
        self.pool = pool
        self.backgrounds = Backgrounds(seed + 77, 200 if len(pool) < 1000 else 1500)

    def frame(self, dice):
        """A letterboxed frame for the finder, and its hands: rows of x, y, direction x, direction y, side, weight."""
        aspect = dice.choice([1, 4 / 3, 16 / 9, 4 / 3, 1.5])
        width, height = FINDER_SIDE, int(round(FINDER_SIDE / aspect))
        if dice.random() < 0.35:
            width, height = height, width
        short = min(width, height)
        picture = self.backgrounds(dice, width, height)
        kind, hands = dice.random(), []
        count = 0 if kind < 0.22 else (2 if kind > 0.87 else 1)
        if count == 0 and dice.random() < 0.35:
            face(picture, dice)
        if dice.random() < (0.5 if count == 0 else 0.08):
            fist = Hand(self.pool, dice)
            fist.shape_fist(dice)
            middle = dice.uniform(0, 1, 2) * [width, height]
            side = short * math.exp(dice.uniform(math.log(0.1), math.log(0.6)))
            lay(picture, fist, fist.placed(dice.uniform(0, 360), side, middle), dice, levels(dice))
        level = levels(dice)
        for number in range(count):
            hand = Hand(self.pool, dice)
            largest = 0.66 if count == 1 else 0.3
            share = math.exp(dice.uniform(math.log(0.085), math.log(largest)))
            wide = 0.5 - min(0.45, 0.55 * share)
            middle = (0.5 + dice.uniform(-wide, wide, 2)) * [width, height]
            if count == 2:
                middle = np.array([dice.uniform(0.15, 0.4) + (0.45 if number else 0), dice.uniform(0.25, 0.75)]) * [width, height]
            degrees = dice.uniform(0, 360)
            matrix = hand.placed(degrees, share * short, middle)
            lay(picture, hand, matrix, dice, level)
            if dice.random() < 0.06:
                pegs(picture, hand, matrix, dice, share * short)
            if dice.random() < 0.06:
                tops(picture, hand, matrix, dice, share * short)
            points = applied(matrix, hand.points)
            corners = points[3:7]
            up = (corners[0] + corners[1] - corners[2] - corners[3]) / 2
            area = quadrilateral(corners)
            hands.append([*corners.mean(0), *(up / np.linalg.norm(up)), math.sqrt(area), 1.0])
        picture = developed(picture, dice)
        left, top = (FINDER_SIDE - width) // 2, (FINDER_SIDE - height) // 2
        whole = np.zeros((FINDER_SIDE, FINDER_SIDE), np.float32)
        whole[top : top + height, left : left + width] = standardized(picture)
        for hand in hands:
            hand[0] += left
            hand[1] += top
        return whole, np.array(hands, np.float32).reshape(-1, 6)

    def palm(self, dice, what):
        """What a landmark network sees; its points in pixels, and whether it is a palm as it should lie."""
        size = LANDMARK_SIDE
        picture = self.backgrounds(dice, size, size)
        reach, often = LOOKS[what]
        side, kind = size / reach, dice.random()
        askew = dice.random() < often
        degrees = dice.uniform(-30, 30) if askew else dice.normal(0, 3)
        grow = math.exp(dice.uniform(-0.28, 0.28) if askew else dice.normal(0, 0.04))
        shift = dice.uniform(-0.18, 0.18, 2) if askew else dice.normal(0, 0.025, 2)
        good, hand = kind > 0.22, None
        if kind < 0.05 and dice.random() < 0.5:
            face(picture, dice)
        if kind >= 0.05:
            hand = Hand(self.pool, dice)
            if kind < 0.12:
                hand.shape_fist(dice)
            elif kind < 0.15:
                degrees += dice.uniform(75, 285)
            elif kind < 0.18:
                away = dice.uniform(0, 2 * math.pi)
                shift = np.array([math.cos(away), math.sin(away)]) * dice.uniform(0.6, 1.3)
            elif kind < 0.22:
                grow *= dice.uniform(1.9, 3.0) if dice.random() < 0.5 else dice.uniform(0.25, 0.5)
            if dice.random() < 0.04:
                other = Hand(self.pool, dice)
                away = dice.uniform(0, 2 * math.pi)
                middle = size / 2 + np.array([math.cos(away), math.sin(away)]) * side * dice.uniform(1.6, 2.2)
                lay(picture, other, other.placed(dice.uniform(0, 360), side, middle), dice, levels(dice))
            matrix = hand.placed(degrees, side * grow, size / 2 - 0.5 + shift * side)
            lay(picture, hand, matrix, dice, levels(dice))
            if dice.random() < 0.1:
                pegs(picture, hand, matrix, dice, side)
        picture = developed(picture, dice)
        inside = None
        if dice.random() < 0.4:
            # The frame ends somewhere: beyond the fingers, more often than across the palm.
            low = np.where(dice.random(2) < 0.5, dice.uniform(0, 0.22, 2), 0) * size
            high = np.where(dice.random(2) < 0.5, 1 - dice.uniform(0, 0.22, 2), 1) * size
            y, x = np.mgrid[0:size, 0:size]
            inside = (x >= low[0]) & (y >= low[1]) & (x <= high[0]) & (y <= high[1])
        points = applied(matrix, hand.points) if hand else np.zeros((POINTS, 2))
        return standardized(picture, inside), points.astype(np.float32), float(good)
