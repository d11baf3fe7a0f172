"""What the networks of namespaces.py and proxy.py have in common: which ways
there are between members, and cutting one off.  A network has ids and set()."""


class Wire:
    def ways(self):
        return [(a, b) for a in self.ids for b in self.ids if a != b]

    def between(self, one, other):
        """Both ways between two sets of members."""
        return [(a, b) for a, b in self.ways() if (a in one and b in other) or (b in one and a in other)]

    def isolate(self, number):
        self.set(self.between([number], [i for i in self.ids if i != number]), hold=True)
