// Loaded into processes of Trent by last-resort.system.test.ts: on SIGUSR2 a promise is rejected that nobody handles, as by a query
// that failed with its row.
process.on('SIGUSR2', () => {
  void Promise.reject(Object.assign(new Error('unheard of'), { detail: 'the row of somebody' }))
})
