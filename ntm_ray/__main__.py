"""`python -m ntm_ray` is `ntm-ray`."""

from ntm_ray.cli import main

if __name__ == "__main__":
    main()
