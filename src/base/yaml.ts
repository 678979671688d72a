/**
 * YAML for modules that load it when they first need it. The package is CommonJS: in a bundle `import('yaml')` has no names, while a
 * static import of names works everywhere.
 */
export { parse, stringify } from 'yaml';
