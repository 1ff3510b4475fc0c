// Bundles the anywidgets: one module and one style sheet each, with everything in it. Preact stands in for React,
// which every page but JupyterLab's would have to be sent with each widget.
import { build } from 'esbuild';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, '../runctl_jupyter/widgets/static');

await build({
  entryPoints: [
    { in: join(here, 'src/widgets/loader.ts'), out: 'loader' },
    { in: join(here, 'src/widgets/card.tsx'), out: 'card' },
    { in: join(here, 'src/widgets/panel.tsx'), out: 'panel' }
  ],
  outdir: out,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  alias: {
    react: 'preact/compat',
    'react-dom': 'preact/compat',
    'react/jsx-runtime': 'preact/jsx-runtime',
    'react-dom/client': 'preact/compat/client'
  },
  define: { 'process.env.NODE_ENV': '"production"' },
  logLevel: 'warning'
});
await build({
  entryPoints: [join(here, 'src/widgets/style.css')],
  outfile: join(out, 'style.css'),
  bundle: true,
  minify: true,
  logLevel: 'warning'
});
