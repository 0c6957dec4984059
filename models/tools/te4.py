"""Ricker's simplified Tennessee Eastman two-phase reactor (te4): the steady state that the example models learn from.

Source: N. L. Ricker, Journal of Process Control 3 (1993) 109-123. Vectorised: one row of each argument is one operating point.

Words: P pressure [kPa], yA and yC fractions of the vapour [%], F1 feed, F2 pure A, F3 purge, F4 product [kmol/h],
k catalyst activity (1 is fresh), v1..v4 valve positions [%]. *Slack* is product over purge, 102 yB - yC with fractions of one:
where it is not positive there is no steady state.
"""

import numpy as np

RATE = 0.00117  # kmol/(h kPa^1.6)
FEED_A, FEED_B, FEED_C = 0.485, 0.005, 0.510  # mole fractions of F1
VALVE_1, VALVE_2 = 3.3046, 0.2246  # kmol/h per %
VALVE_3, VALVE_4 = 0.00352, 0.0417  # kmol/h per % and root of kPa
DOWNSTREAM = 100.0  # kPa behind the valves of purge and product
PRICE_A, PRICE_C = 2.206, 6.177  # $/kmol lost in the purge

# Below this slack the purge valve is more than fully open anywhere in the domain. The map goes on along the tangent, so that a search
# that starts where no steady state exists is led back; the values there mean nothing else.
SLACK_LEAST = 4.0


def fraction_c(pressure, a, product, k):
    """yC [%] at which the reactor makes `product`."""
    return 100.0 * (product / (k * RATE * (a / 100.0 * pressure) ** 1.2)) ** 2.5 / pressure


def steady(pressure, a, product, k):
    """A dict of arrays: F3, yC, v1..v4, cost [$/kmol] and the slack."""
    c = fraction_c(pressure, a, product, k)
    b = 100.0 - a - c
    slack = (FEED_C / FEED_B * b - c) / 100.0
    tangent = (2.0 - slack / SLACK_LEAST) / SLACK_LEAST
    purge = product * np.where(slack >= SLACK_LEAST, 1.0 / np.maximum(slack, SLACK_LEAST), tangent)
    feed = (product + c / 100.0 * purge) / FEED_C
    pure_a = product + a / 100.0 * purge - FEED_A * feed
    root = np.sqrt(pressure - DOWNSTREAM)
    return {
        "F3": purge,
        "yC": c,
        "v1": feed / VALVE_1,
        "v2": pure_a / VALVE_2,
        "v3": purge / (VALVE_3 * root),
        "v4": product / (VALVE_4 * root),
        "cost": cost(purge, a, c, product),
        "slack": slack,
    }


def cost(purge, a, c, product):
    """What leaves with the purge [$ per kmol of product]."""
    return purge * (PRICE_A * a + PRICE_C * c) / 100.0 / product


def activity(pressure, a, c, product):
    """k from what is measured, the formula of the rate turned round."""
    return product / (RATE * (a / 100.0 * pressure) ** 1.2 * (c / 100.0 * pressure) ** 0.4)
