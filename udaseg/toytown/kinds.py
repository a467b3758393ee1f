"""The classes, outlines, materials and curvatures that a patch of toytown can have."""

# Classes are Cityscapes label ids, the coding that GTA5 shares.
EGO, STATIC = 1, 4
ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE = 7, 8, 11, 12, 13, 17
LIGHT, SIGN, VEGETATION, TERRAIN, SKY = 19, 20, 21, 22, 23
PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = 24, 25, 26, 27, 28, 31, 32, 33
CLASSES = (
    *(ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN, SKY),
    *(PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE),
)

# Outlines: which part of the unit square (u, v) a patch covers; `form` holds four parameters.
RECT = 0  # all of it
ELLIPSE = 1
TRAPEZOID = 2  # form: how much is cut off left, right at the top (v = 1)
DIAMOND = 3
OCTAGON = 4
RING = 5  # form: inner radius / outer radius; the hole belongs to the label, not to the image
CAPSULE = 6  # form: length / width of the patch
PICKETS = 7  # form: count of pickets, filled fraction, pointed tops (0 or 1); gaps as for RING
CROWN = 8  # form: lumps across, raggedness, share of holes; holes as for RING
HEDGE = 9  # form: lumps across, raggedness of the top edge
CONE = 10  # form: lumps across, raggedness: a conifer
BARS = 11  # form: count of bars, filled fraction: a railing with a top and a bottom rail

# Materials: how a patch is painted; `look` holds four parameters.
PLAIN = 0  # look: grain, grains per metre
ASPHALT = 1
PAVING = 2  # look: tile size in metres
GRASS = 3
FACADE = 4  # look: window pitch across, up in metres; 1 for a glass front; 1 for shops at street level
BRICK = 5  # look: course height in metres
PLANKS = 6  # look: plank width in metres
LEAF = 7
BARK = 8
PAINT = 9
BAND = 10  # look: window band from, to (in v), pillar pitch in metres, top of the accent stripe (in v)
GLASS = 11
WHEEL = 12
LAMP = 13  # look: gain of its own light
CLOTH = 14
TILES = 15  # look: row height in metres

# Curvature: how the normal turns over the patch.
FLAT, CYLINDER, SPHERE = 0, 1, 2
