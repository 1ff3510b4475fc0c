import type { ISettingRegistry } from '@jupyterlab/settingregistry';

/** What a user can choose; the schema is `schema/panel.json`. */
export interface Settings {
  area: 'left' | 'right';
  statusBar: boolean;
  notifications: boolean;
}

export const DEFAULTS: Settings = { area: 'left', statusBar: true, notifications: true };

const ID = 'runctl-jupyter:panel';

/**
 * Read the settings now and at each change.
 *
 * Without a registry, or with one that does not know the schema, the defaults hold.
 */
export async function followSettings(
  registry: ISettingRegistry | null,
  onChange: (settings: Settings) => void
): Promise<void> {
  if (registry === null) {
    onChange(DEFAULTS);
    return;
  }
  let loaded: ISettingRegistry.ISettings;
  try {
    loaded = await registry.load(ID);
  } catch (error) {
    console.warn(`${ID}: no settings, the defaults hold`, error);
    onChange(DEFAULTS);
    return;
  }
  const tell = (): void => {
    // The schema has a default for each, so that a composite value is whole.
    onChange({ ...DEFAULTS, ...(loaded.composite as Partial<Settings>) });
  };
  loaded.changed.connect(tell);
  tell();
}
