import js from '@eslint/js';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

const typed = {
  extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
  plugins: { 'react-hooks': hooks },
  rules: {
    '@typescript-eslint/explicit-function-return-type': ['error', { allowExpressions: true }],
    '@typescript-eslint/no-namespace': ['error', { allowDeclarations: true }],
    'react-hooks/exhaustive-deps': 'error',
    'react-hooks/rules-of-hooks': 'error',
    curly: 'error',
    eqeqeq: 'error'
  }
};

export default tseslint.config(
  { ignores: ['lib/', 'node_modules/', 'gallery/dist/', '**/*.mjs', 'style/*.js'] },
  js.configs.recommended,
  {
    ...typed,
    files: ['src/**/*.{ts,tsx}'],
    languageOptions: {
      parserOptions: {
        project: './tsconfig.json',
        tsconfigRootDir: import.meta.dirname
      }
    }
  },
  {
    ...typed,
    files: ['tests/**/*.{ts,tsx}', 'gallery/**/*.tsx'],
    languageOptions: {
      parserOptions: {
        project: './tests/tsconfig.json',
        tsconfigRootDir: import.meta.dirname
      }
    }
  }
);
