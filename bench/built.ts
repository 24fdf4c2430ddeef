/** A module of dist/, since that is what is installed and measured. */
export const built = async <Module>(path: string): Promise<Module> => await import(new URL(`../dist/${path}.js`, import.meta.url).href) as Module
