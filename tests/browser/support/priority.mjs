// @ts-check
// Whoever imports this goes before whatever else the machine does, and everything that it starts with it: a browser whose sound is late drops
// some of it.

import { constants, setPriority } from "node:os";

try {
  setPriority(constants.priority.PRIORITY_HIGH);
} catch {
  // Only root may ask for it; on a machine that is not busy it makes no difference.
}
