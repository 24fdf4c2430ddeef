// Lets node run the TypeScript of bench/ as it stands (node --import ./bench/run-typescript.js FILE.ts): Node 20 cannot strip types itself.
import { register } from 'node:module'

register(new URL('./typescript-loader.js', import.meta.url))
