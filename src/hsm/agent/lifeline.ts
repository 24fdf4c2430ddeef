// An agent never outlives its parent, not even stuck in a call: this thread blocks on the stdin that the parent holds open,
// and kills its own process at end of file. SIGKILL, because process.exit() does not end while a native call hangs.
import { readSync } from 'node:fs'

const byte = Buffer.alloc(1)
try {
  while (readSync(0, byte) > 0);
} finally {
  process.kill(process.pid, 'SIGKILL')
}
