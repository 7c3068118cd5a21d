"""A supervisor without processes: what one does to its children, in plain steps."""

from collections import deque
from typing import Any

import attrs

import candil

from .workers import word


@attrs.define(eq=False)
class ModelChild:
    """One child; *fate* is what its next starts shall do."""

    label: str
    restart: str
    fate: list[str] = attrs.field(factory=list)
    state: str = "stopped"  # "up", "dead" (its end is not dealt with yet), "restarting", "stopped"
    incarnation: int = 0


@attrs.define
class Model:
    """The rules of OTP's supervisor, for workers that trap exits and end at once."""

    strategy: str
    max_restarts: int
    children: list[ModelChild] = attrs.field(factory=list)
    lines: list[str] = attrs.field(factory=list)
    restarts: int = 0
    gave_up: bool = False
    mailbox: deque[Any] = attrs.field(factory=deque)

    def find(self, label: str) -> ModelChild | None:
        """Give the child of that id."""
        return next((child for child in self.children if child.label == label), None)

    def shown(self) -> dict[str, str]:
        """Give what ``which_children`` shows, once everything is dealt with."""
        return {child.label: child.state for child in reversed(self.children)}

    # --- requests: each gives the name of what it raises, or None

    def add(self, label: str, restart: str, fate: list[str]) -> str | None:
        present = self.find(label)
        if present is not None:
            return "AlreadyStarted" if present.state == "up" else "ChildAlreadyPresent"
        child = ModelChild(label, restart, fate)
        self.children.append(child)
        if not self.start(child):
            self.children.remove(child)
            return "StartError"
        return None

    def terminate(self, label: str) -> str | None:
        child = self.find(label)
        if child is None:
            return "ChildNotFound"
        self.stop(child)
        return None

    def restart(self, label: str) -> str | None:
        child = self.find(label)
        if child is None:
            return "ChildNotFound"
        if child.state == "up":
            return "ChildRunning"
        return None if self.start(child) else "StartError"

    def delete(self, label: str) -> str | None:
        child = self.find(label)
        if child is None:
            return "ChildNotFound"
        if child.state == "up":
            return "ChildRunning"
        self.children.remove(child)
        return None

    # --- ends

    def end(self, labels: str, reason: object) -> None:
        """Let children end by themselves, all before the supervisor learns of the first."""
        for label in labels:
            child = self.find(label)
            if child is not None and child.state == "up":
                child.state = "dead"
                self.lines.append(f"terminate {label} {word(candil.as_exit_reason(reason))}")
                self.mailbox.append(("exit", child, child.incarnation, reason))
        while self.mailbox and not self.gave_up:
            what, child, incarnation, reason = self.mailbox.popleft()
            if what == "exit" and (child.state, child.incarnation) == ("dead", incarnation):
                self.exited(child, reason)
            elif what == "retry" and child.state == "restarting":
                self.restart_for(child)

    def exited(self, child: ModelChild, reason: object) -> None:
        in_order = reason in ("normal", "shutdown") or isinstance(reason, tuple)
        if child.restart == "permanent" or (child.restart == "transient" and not in_order):
            self.restart_for(child)
        else:
            self.forget(child)

    def restart_for(self, child: ModelChild) -> None:
        self.restarts += 1
        if self.restarts > self.max_restarts:
            self.forget(child)
            self.stop_all()
            return
        group = [child]
        if self.strategy != "one_for_one":
            first = 0 if self.strategy == "one_for_all" else self.children.index(child)
            group = self.children[first:]
        child.state = "stopped"
        for one in reversed(group):
            if one is not child:
                self.stop(one)
        for one in group:
            if one in self.children and not self.start(one):
                one.state = "restarting"
                self.mailbox.append(("retry", one, 0, None))
                return

    def stop_all(self) -> None:
        self.gave_up = True
        for child in reversed(list(self.children)):
            self.stop(child)

    # --- one child

    def start(self, child: ModelChild) -> bool:
        fate = child.fate.pop(0) if child.fate else "ok"
        if fate not in ("ok", "ignore"):
            self.lines.append(f"fail {child.label}")
            return False
        child.incarnation += 1
        self.lines.append(f"{'start' if fate == 'ok' else 'ignore'} {child.label}")
        child.state = "up" if fate == "ok" else "stopped"
        if fate == "ignore" and child.restart == "temporary":
            self.children.remove(child)
        return True

    def stop(self, child: ModelChild) -> None:
        if child.state == "up":
            self.lines.append(f"terminate {child.label} shutdown")
        self.forget(child)

    def forget(self, child: ModelChild) -> None:
        child.state = "stopped"
        if child.restart == "temporary":
            self.children.remove(child)
