"""How many samples RANSAC of ours takes and optimises."""

# Samples of two matches for one of three.
PAIRS_A_TRIPLE = 4
# So many of the best samples are fitted to their inliers; after one round so
# many of them go on, for so many rounds in all.
OPTIMISED = 32
CONTINUED = 6
ROUNDS = 6
