"""Which trial may begin where: memory on the devices that slots share.

Small trials share a device as far as the estimates of their memory fit; a trial that is too large
to share waits until the device is its own. The first that waits for a device is the next to begin
there, so that small ones do not starve it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Device:
    """A device that slots train on: a GPU, or the memory of a node.

    Attributes:
        name: Its name within the cluster.
        kind: `cpu` or `cuda`.
        capacity: Bytes that trials may take of it.
    """

    name: str
    kind: str
    capacity: int


@dataclass
class _Use:
    """What trains on a device, and what waits for it."""

    device: Device
    running: dict[str, int] = field(default_factory=dict)
    alone: str | None = None
    waiting: list[str] = field(default_factory=list)

    def takes(self, need: int, *, alone: bool) -> bool:
        if not self.running:
            return True
        if alone or self.alone is not None:
            return False
        return sum(self.running.values()) + need <= self.device.capacity


class Room:
    """The devices of a job's slots, and what each of them holds.

    Attributes:
        factor: What estimates are multiplied by: learnt from trials that took more than estimated.
    """

    def __init__(self) -> None:
        self.factor: dict[str, float] = {}
        self._uses: dict[str, _Use] = {}
        self._alone: set[str] = set()

    def add(self, device: Device) -> None:
        """Take note of a device; one that is known stays as it is."""
        self._uses.setdefault(device.name, _Use(device))

    def need(self, estimate: int, device: Device) -> int:
        """Bytes that a trial is expected to take of a device, by what was learnt so far."""
        return int(estimate * self.factor.get(device.kind, 1.0))

    def waiting(self, device: Device) -> str | None:
        """The trial that is the next to begin on a device."""
        return next(iter(self._uses[device.name].waiting), None)

    @property
    def anybody_waits(self) -> bool:
        """Whether a trial waits for any device."""
        return any(use.waiting for use in self._uses.values())

    @property
    def longest_queue(self) -> int:
        """How many trials wait for the device that most wait for."""
        return max((len(use.waiting) for use in self._uses.values()), default=0)

    def left_behind(self, device: Device) -> str | None:
        """A trial that waits for another device on which nothing trains, and nobody may be left.

        Whoever asks, and has nothing else to do, may begin it: that is better than never.
        """
        for use in self._uses.values():
            if use.device != device and use.waiting and not use.running:
                trial = use.waiting[0]
                if self._larger_than(device) is not use:
                    self._no_longer_waits(trial)
                    return trial
        return None

    def remove(self, device: Device) -> list[str]:
        """Forget a device that is gone; returns the trials that waited for it."""
        use = self._uses.pop(device.name, None)
        return use.waiting if use is not None else []

    def begin(self, trial: str, estimate: int, device: Device) -> bool:
        """Let a trial begin on a device if there is room; else it waits for one.

        Args:
            trial: Its name.
            estimate: Bytes it takes on such a device.
            device: Where a slot is free.

        Returns:
            Whether it begins now. If not, it waits for this device, or for the largest one if it
            is too large for this one even alone.
        """
        use = self._uses[device.name]
        need = self.need(estimate, device)
        if need > device.capacity and (larger := self._larger_than(device)) is not None:
            use = larger
        elif self.waiting(device) in (None, trial) and use.takes(need, alone=trial in self._alone):
            self._no_longer_waits(trial)
            use.running[trial] = need
            use.alone = trial if trial in self._alone else None
            return True
        if trial not in use.waiting:
            self._no_longer_waits(trial)
            use.waiting.append(trial)
        return False

    def end(self, trial: str) -> None:
        """Take note that a trial no longer trains, for whatever reason."""
        for use in self._uses.values():
            use.running.pop(trial, None)
            if use.alone == trial:
                use.alone = None

    def learn(self, estimate: int, taken: int, device: Device) -> None:
        """Take note of what a trial really took of a device, in bytes."""
        if estimate > 0 and taken > self.need(estimate, device):
            self.factor[device.kind] = taken / estimate

    def ran_out(self, trial: str) -> bool:
        """Take note that a trial ran out of memory.

        Returns:
            Whether it may be tried again, with a device of its own: it may once.
        """
        self.end(trial)
        if trial in self._alone:
            return False
        self._alone.add(trial)
        return True

    def _larger_than(self, device: Device) -> _Use | None:
        alike = [use for use in self._uses.values() if use.device.kind == device.kind]
        largest = max(alike, key=lambda use: use.device.capacity)
        return largest if largest.device.capacity > device.capacity else None

    def _no_longer_waits(self, trial: str) -> None:
        for use in self._uses.values():
            if trial in use.waiting:
                use.waiting.remove(trial)
