"""The settings of a domain: layout, colours, weather and camera; labels are the same in every domain."""

from dataclasses import dataclass

RGB = tuple[int, int, int]
Colors = tuple[RGB, ...]
Range = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """The statistics of streets and of the camera: metres, radians, probabilities."""

    camera_height: Range
    pitch: Range
    focal: Range  # image widths
    hood: bool  # the bonnet of the recording car is in the image
    lanes: tuple[int, int]  # to the left of the camera's own, inclusive
    sidewalk: Range
    verge: float  # probability of a grass strip
    building_height: Range
    storey: Range
    setback: Range
    pitched_roof: float
    glass_front: float
    lots: tuple[float, float, float, float]  # weights of house, walled, fenced, park
    people: tuple[int, int]
    parked: float  # probability of a car in a parking place
    traffic: tuple[int, int]  # moving cars
    trees: float  # per ten metres of one side
    palms: float  # share of palms and conifers among trees
    two_wheelers: tuple[int, int]
    american: bool  # signs, signals and lane markings


@dataclass(frozen=True)
class Palette:
    """The surface colours of a domain: display values from 0 to 255."""

    asphalt: Colors
    marking: Colors
    pavement: Colors
    kerb: Colors
    grass: Colors
    leaf: Colors
    bark: Colors
    facade: Colors
    roof: Colors
    trim: Colors
    window: Colors
    wall: Colors
    fence: Colors
    metal: Colors
    signal: Colors
    car: Colors
    truck: Colors
    cargo: Colors
    bus: Colors
    tram: Colors
    skin: Colors
    hair: Colors
    top: Colors
    trousers: Colors
    cycle: Colors


@dataclass(frozen=True)
class Weather:
    """Light and air: linear colours around 1, angles in radians, haze per metre."""

    sun_height: Range
    sun: Range
    sun_color: tuple[float, float, float]
    ambient: Range
    ambient_color: tuple[float, float, float]
    zenith: Colors
    horizon: Colors
    cloud: Colors
    cloudiness: Range
    haze: Range
    texture: float  # contrast of surface texture
    grain: float  # its frequency, relative


@dataclass(frozen=True)
class Sensor:
    """The image processing of a camera: pixels, gains, display units of 0 to 1."""

    exposure: Range
    warm: Range  # log gain of red over blue
    green: Range  # log gain of green
    contrast: Range  # slope of the tone curve at mid grey
    lift: Range  # level of black
    saturation: Range
    blur: Range  # standard deviation at an image width of 512
    chroma_blur: float
    noise: Range
    vignette: Range  # loss of light in the corners


@dataclass(frozen=True)
class Style:
    """All settings of one domain; `code` is its part of every random seed."""

    name: str
    code: int
    layout: Layout
    palette: Palette
    weather: Weather
    sensor: Sensor
