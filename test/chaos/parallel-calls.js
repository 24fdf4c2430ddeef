// So many threads, each with one C_GenerateRandom at the same moment; prints the milliseconds that all of them took together.
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import pkcs11 from 'pkcs11js'

const p11 = new pkcs11.PKCS11()
if (isMainThread) {
  const [, , library, label, threads] = process.argv
  p11.load(library)
  p11.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK })
  const slot = p11.C_GetSlotList(true).find(one => p11.C_GetTokenInfo(one).label.trim() === label)
  const workers = Array.from({ length: Number(threads) }, () => new Worker(new URL(import.meta.url), { workerData: { library, slot } }))
  const said = word => Promise.all(workers.map(worker => new Promise(resolve => {
    worker.on('message', message => { if (message === word) resolve() })
  })))
  const done = said('done')
  await said('ready')
  const begun = performance.now()
  for (const worker of workers) worker.postMessage('go')
  await done
  process.stdout.write(`${performance.now() - begun}\n`)
} else {
  p11.load(workerData.library)
  const session = p11.C_OpenSession(Buffer.from(workerData.slot), pkcs11.CKF_SERIAL_SESSION)
  parentPort.once('message', () => {
    p11.C_GenerateRandom(session, Buffer.alloc(8))
    parentPort.postMessage('done')
  })
  parentPort.postMessage('ready')
}
