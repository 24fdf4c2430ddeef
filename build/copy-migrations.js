// The end of a build. tsc copies no SQL: the migrations travel to dist/ beside the code that runs them. The stamp tells build/prepare.sh
// that dist/ is as new as src/.
import { cpSync, writeFileSync } from 'node:fs'

cpSync(new URL('../src/store/migrations', import.meta.url), new URL('../dist/store/migrations', import.meta.url), { recursive: true })
writeFileSync(new URL('../dist/.built', import.meta.url), '')
