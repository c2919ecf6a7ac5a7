"""Lens models a second time, as plainly as they are written down, to judge the rays of `Camera` by."""

import numpy as np


def equidistant_angle(theta, k):
    return theta * (1 + k[0] * theta**2 + k[1] * theta**4 + k[2] * theta**6 + k[3] * theta**8)


def distort(camera, x, y):
    """Return where (x, y, 1) appears on the plane z = 1, whichever branch of the model that is."""
    if not camera.distortion:
        return x, y
    if camera.is_fisheye:
        radius = np.hypot(x, y)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(radius > 0, equidistant_angle(np.arctan(radius), camera.distortion) / radius, 1.0)
        return x * scale, y * scale
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tx, ty = (*camera.distortion, *[0.0] * 14)[:14]
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2) + s1 * r2 + s2 * r2**2
    bent_y = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y + s3 * r2 + s4 * r2**2
    rotation = np.array([[np.cos(ty), 0, -np.sin(ty)], [0, 1, 0], [np.sin(ty), 0, np.cos(ty)]]) @ np.array(
        [[1, 0, 0], [0, np.cos(tx), np.sin(tx)], [0, -np.sin(tx), np.cos(tx)]]
    )
    turned = np.einsum("ij,j...->i...", rotation, np.stack([bent_x, bent_y, np.ones_like(bent_x)]))
    # Seen from the lens, the turned sensor's plane is met where the line through the point meets it.
    onto = np.array([[rotation[2, 2], 0, -rotation[0, 2]], [0, rotation[2, 2], -rotation[1, 2]], [0, 0, 1]])
    seen = np.einsum("ij,j...->i...", onto, turned)
    return seen[0] / seen[2], seen[1] / seen[2]


def check_rays(camera, *, rng, most_pixels=200, steps=60):
    """Assert that finite rays reproject within 0.1 px and lie on the branch from the axis; return their share."""
    rays = camera.rays()
    assert rays.shape == (camera.height, camera.width, 3)
    finite = np.isfinite(rays)
    assert (finite.all(axis=-1) == finite.any(axis=-1)).all()
    seen = finite[..., 0]
    if not seen.any():
        return 0.0
    v, u = np.nonzero(seen)
    x, y, z = rays[v, u].astype(np.float64).T
    assert (z == 1).all()
    image_x, image_y = distort(camera, x, y)
    assert np.abs(image_x * camera.fx + camera.cx - u).max() <= 0.1
    assert np.abs(image_y * camera.fy + camera.cy - v).max() <= 0.1
    chosen = rng.permutation(len(u))[:most_pixels]
    check_branch(camera, x[chosen], y[chosen], steps)
    return float(seen.mean())


def check_branch(camera, x, y, steps=60):
    """Assert that the model does not turn around on the straight way from the axis to each of (x, y, 1)."""
    if not camera.distortion:
        return
    part = np.linspace(0, 1, steps + 1)[:, None]
    along_x, along_y = part * x, part * y
    if camera.is_fisheye:
        image = np.hypot(*distort(camera, along_x, along_y))
        assert (np.diff(image, axis=0) >= -1e-9).all()
        return
    # Of the last bit of the way a rounding error may tell another story.
    step = 1e-6 * np.maximum(np.hypot(along_x, along_y), 1e-3)
    right, left = distort(camera, along_x + step, along_y), distort(camera, along_x - step, along_y)
    below, above = distort(camera, along_x, along_y + step), distort(camera, along_x, along_y - step)
    determinant = (right[0] - left[0]) * (below[1] - above[1]) - (right[1] - left[1]) * (below[0] - above[0])
    assert (determinant / (4 * step**2) > -1e-4).all()
